// How many NVIDIA devices this node has, as NVIDIA's own program says. The pool asks before it starts workers that share them.
import { spawn } from 'node:child_process';

/** The NVIDIA devices of a node. */
export interface NvidiaDevices {
  /** 0 when nobody knows. */
  readonly count: number;
  /** Why it is 0 though the program that should know is there. */
  readonly problem?: string;
}

const patienceMs = 10_000;
const mostSaid = 100_000;

/**
 * The NVIDIA devices of this node, by `nvidia-smi -L`: a line `GPU 0: name (UUID: …)` for each. Never rejects.
 *
 * @param limitMs how long an answer is waited for. A program that hangs in its driver does not even end when it is killed: nobody waits
 * for that.
 */
export async function nvidiaDevices(program = 'nvidia-smi', limitMs = patienceMs): Promise<NvidiaDevices> {
  const { how, stdout, stderr } = await answerOf(program, limitMs);
  if (how === 'is not there') return { count: 0 };
  const count = stdout.split('\n').filter((line) => /^GPU \d+:/.test(line)).length;
  if (how === 'answered' && count > 0) return { count };
  const words = `${stdout}${stderr}`.trim().slice(0, 500);
  const problem = `${program} -L ${how === 'answered' ? 'names no device' : how}${words === '' ? '' : `: ${words}`}`;
  return { count: 0, problem };
}

/** What it said, and how that came to its end, in words. */
async function answerOf(program: string, limitMs: number): Promise<Record<'how' | 'stdout' | 'stderr', string>> {
  const child = spawn(program, ['-L'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      if (said[name].length < mostSaid) said[name] += text;
    });
  let timer: NodeJS.Timeout | undefined;
  const how = await new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`gave no answer within ${limitMs / 1_000} s`), limitMs);
    child.once('error', (error: NodeJS.ErrnoException) =>
      // Nodes without NVIDIA's driver have none.
      resolve(error.code === 'ENOENT' ? 'is not there' : `could not be run: ${error.message}`),
    );
    child.once('close', (exitCode, signal) => {
      if (signal !== null) resolve(`was ended by ${signal}`);
      else resolve(exitCode === 0 ? 'answered' : `ended with exit code ${exitCode}`);
    });
  });
  clearTimeout(timer);
  child.kill('SIGKILL');
  child.unref();
  child.stdout.destroy();
  child.stderr.destroy();
  return { how, ...said };
}
