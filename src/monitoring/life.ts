// Whether a run goes on. Only the machine where its program runs can tell; elsewhere it counts as lost after a long silence.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** What the row of a run says of that. */
export interface LifeSigns {
  readonly began: number;
  readonly ended: number | null;
  readonly end_reason: string | null;
  readonly host: string;
  /** 0: not known, as in databases of Parsl. */
  readonly pid: number;
  /** When something was written last. */
  readonly written: number | null;
}

/** `closed`, or `lost`: its program is gone, and did not say that it ends. */
export type Life = 'running' | 'closed' | 'lost';

/** A run on another machine counts as lost after so long without a word: its writer says one each minute. */
const silentMs = 900_000;
/** Clocks are set while programs run; a process that began so much later is another one. */
const clockMs = 60_000;

export function lifeOf(run: LifeSigns, now = Date.now()): Life {
  if (run.end_reason === 'lost') return 'lost';
  if (run.ended !== null) return 'closed';
  const pid = Number(run.pid);
  if (run.host === hostname() && pid > 0) return isItsProgram(pid, Number(run.began)) ? 'running' : 'lost';
  return now - Number(run.written ?? run.began) > silentMs ? 'lost' : 'running';
}

/** The number of a process that ended is given to another one after a while. */
function isItsProgram(pid: number, began: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process may not be asked, but is there.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const startedAt = startOf(pid);
  return startedAt === undefined || startedAt <= began + clockMs;
}

/** When a process began, in milliseconds; `undefined` where /proc does not tell. */
function startOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Behind the name, which may hold anything: hundredths of a second since the machine was started.
    const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    const booted = Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1]);
    return Number.isFinite(ticks + booted) ? booted * 1_000 + ticks * 10 : undefined;
  } catch {
    return undefined;
  }
}
