// Says when tasks wait that no pool can run, after a few seconds, with the reason as far as it is known and the last words of the blocks.
// The executor owns one; it only talks, as a pool may come at any time: from the queue of a cluster, or started by hand.
import type { ExecutorHost, Runtime } from '../../task/ports.ts';
import type { ManagerLine } from '../../wire/messages/command.ts';
import type { BlockLine } from './executor.ts';
import { wordsOf } from './words.ts';

/** What must be known of the executor. */
export interface UnservedSide {
  readonly label: string;
  managers(): Promise<readonly ManagerLine[]>;
  blocks(): readonly BlockLine[];
  /** Tasks of this language that wait. */
  waiting(runtime: Runtime): number;
  readonly runtimes: readonly Runtime[];
  /** What a pool may run that says nothing of it. */
  readonly unsaid: readonly Runtime[];
  readonly log: ExecutorHost['log'];
}

/** The first look, and the next ones. */
const usualLookMs = 5_000;
/** A pool that is just starting is not talked of on the terminal before so many looks. */
const startingLooks = 3;
const againMs = 60_000;

export class Unserved {
  readonly #side: UnservedSide;
  readonly #lookMs: number;
  #timer: NodeJS.Timeout | undefined;
  #since = 0;
  #said = '';
  #saidAt = 0;

  /** @param lookMs how often it looks, and when first */
  constructor(side: UnservedSide, lookMs = usualLookMs) {
    this.#side = side;
    this.#lookMs = lookMs;
  }

  /** Tasks wait from now on. */
  begin(): void {
    if (this.#timer !== undefined) return;
    this.#since = performance.now();
    this.#timer = setInterval(() => void this.#look(), this.#lookMs).unref();
  }

  /** Nothing waits any more. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    const side = this.#side;
    const waiting = side.runtimes.filter((runtime) => side.waiting(runtime) > 0);
    if (waiting.length === 0) {
      this.end();
      return;
    }
    let managers: readonly ManagerLine[];
    try {
      managers = await side.managers();
    } catch {
      // The interchange does not answer: its loss is told by others.
      return;
    }
    if (this.#timer === undefined) return;
    const active = managers.filter(({ isActive }) => isActive);
    for (const runtime of waiting) {
      // Pools of Parsl's run Python and say nothing of it; an interchange of Parsl's does not pass on what ours say.
      const isServed = active.some(({ languages = side.unsaid }) => languages.includes(runtime));
      if (!isServed) this.#say(runtime, side.waiting(runtime), active);
    }
  }

  #say(runtime: Runtime, waiting: number, managers: readonly ManagerLine[]): void {
    const { label } = this.#side;
    const text = `no manager can run ${runtime === 'python' ? 'Python' : 'TypeScript'} functions, and ${waiting} ${waiting === 1 ? 'task waits' : 'tasks wait'}: ${this.#reason(runtime, managers)}`;
    const now = performance.now();
    if (text === this.#said && now - this.#saidAt < againMs) return;
    const isStarting = managers.length === 0 && now - this.#since < startingLooks * this.#lookMs;
    this.#side.log('warn', text);
    if (isStarting) return;
    this.#said = text;
    this.#saidAt = now;
    process.stderr.write(`chervil: executor '${label}': ${text}\n`);
  }

  #reason(runtime: Runtime, managers: readonly ManagerLine[]): string {
    if (managers.length > 0) {
      const shown = managers
        .slice(0, 3)
        .map(
          ({ manager, blockId, languages }) =>
            `${manager} of block ${blockId} runs ${languages?.join(' and ') ?? 'Python'}`,
        );
      const hint =
        runtime === 'python' ? 'Start pools with Python workers: --python=python3.' : 'Start pools with Node workers.';
      return `${shown.join(', ')}. ${hint}`;
    }
    const blocks = this.#side.blocks();
    if (blocks.length === 0)
      return 'no pool has come, and no block was started. The log of the run has the command of a pool.';
    const last = blocks.slice(-3).map(({ id, state, message, stderrPath }) => {
      const words = stderrPath === undefined ? '' : wordsOf(stderrPath);
      return `block ${id} is ${state}${message === undefined ? '' : ` (${message})`}${words === '' ? '' : `, its stderr:\n${words}`}`;
    });
    return `no pool has come; ${last.join('; ')}`;
  }
}
