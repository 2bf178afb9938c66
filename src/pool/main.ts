// `chervil worker-pool`: one pool of workers on one node. Reads its arguments, starts its workers, finds the interchange, and runs until
// there is nothing left for it, nobody to work for, or a signal. The command line calls `workerPool`; start.ts is a program of its own.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LogFile } from '../base/log-file.ts';
import type { Result } from '../base/result.ts';
import { curveClient, type DealerSocket, nullMechanism, readCertificates } from '../wire/zmtp/socket.ts';
import { type PoolArguments, readPoolArguments, usage } from './arguments.ts';
import { connectToInterchange } from './connect.ts';
import { findPython, type PythonFacts } from './python.ts';
import { availableCores, coresOfWorkers, nodeResources, nvidiaDevices, workerCount } from './resources.ts';
import { type Home, Pool } from './shell.ts';

/** Runs the command with these arguments; resolves with the exit status: 0 after a normal end, 1 after trouble, 2 for wrong arguments. */
export async function workerPool(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const read = readPoolArguments(argv);
  if (!read.ok) {
    process.stderr.write(`chervil worker-pool: ${read.error}\n${usage}\n`);
    return 2;
  }
  try {
    return await run(read.value);
  } catch (error) {
    process.stderr.write(`chervil worker-pool: ${(error as Error).message}\n`);
    return 1;
  }
}

async function run(given: PoolArguments): Promise<number> {
  const count = workerCount(nodeResources(), given);
  if (count < 1)
    throw new Error(
      `This node has no room for a worker: ${JSON.stringify(nodeResources())}, and each needs ${given.coresPerWorker} cores and ${given.memoryPerWorker ?? 'any'} GB.`,
    );
  const directory = join(given.logDir, `block-${given.blockId}`, given.uid);
  mkdirSync(directory, { recursive: true });
  const log = new LogFile(join(directory, 'manager.log'));
  const stopping = new AbortController();
  const ended: { exitCode: number; reason: string } = { exitCode: 0, reason: '' };
  let onEnded: () => void = () => {};
  const end = new Promise<void>((resolve) => {
    onEnded = resolve;
  });
  const pool = new Pool({
    arguments: given,
    directory,
    workerCount: count,
    cores: coresOfWorkers(given.affinity, availableCores(), count),
    devices: given.accelerators.length > 1 ? nvidiaDevices() : 0,
    log,
    version: ownVersion(),
    onEnd(exitCode, reason) {
      Object.assign(ended, { exitCode, reason });
      stopping.abort(reason);
      onEnded();
    },
  });
  const onSignal = (signal: string): void => pool.feed({ type: 'stop', reason: `signal ${signal}` });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal);
  let socket: DealerSocket | undefined;
  let home: Promise<Result<Home>> | undefined;
  const named = given.python === undefined ? undefined : findPython(given.python.interpreter);
  try {
    await connectToInterchange({
      addresses: given.addresses,
      port: given.port,
      uid: given.uid,
      mechanism: await mechanismOf(given.certDir),
      timeoutMs: given.probeTimeoutMs,
      signal: stopping.signal,
      onFound(found, isChervil) {
        socket = found;
        home ??= homeOf(isChervil, named);
        void home.then((known) => {
          if (known.ok) pool.connected(found, known.value);
          else pool.feed({ type: 'misfit', reason: known.error });
        });
      },
      onMessage: (frames) => pool.onMessage(frames),
      onLost: (failure) => pool.disconnected(failure),
    });
    await end;
  } catch (error) {
    if (ended.reason === '') Object.assign(ended, { exitCode: 1, reason: (error as Error).message });
  } finally {
    // Results that are on their way must not wait for the workers.
    await Promise.all([socket?.close({ lingerMs: 500 }), pool.close()]);
    log.close();
  }
  process.stderr.write(`chervil worker-pool ended: ${ended.reason}\n`);
  return ended.exitCode;
}

/** What the pool must know before it registers. An interchange of Parsl's ends its run when a manager with other versions comes. */
async function homeOf(isChervil: boolean, named: Promise<Result<PythonFacts>> | undefined): Promise<Result<Home>> {
  if (isChervil && named === undefined) return { ok: true, value: { isChervil } };
  const python = await (named ?? findPython(undefined));
  if (!python.ok) return python;
  if (isChervil) return { ok: true, value: { isChervil, python: python.value } };
  const { command, version, parsl } = python.value;
  if (parsl !== undefined) return { ok: true, value: { isChervil, python: python.value } };
  return {
    ok: false,
    error: `the interchange is Parsl's, and ends its run when a manager without its version of Parsl comes. ${command} (Python ${version}) has no Parsl; name the interpreter of the interchange with --python.`,
  };
}

async function mechanismOf(certDir: string | undefined) {
  if (certDir === undefined) return nullMechanism;
  const { client, server } = await readCertificates(certDir);
  return curveClient({ publicKey: client.publicKey, secretKey: client.secretKey, serverKey: server.publicKey });
}

function ownVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}
