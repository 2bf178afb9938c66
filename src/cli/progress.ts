// How far a run is, told on stderr: one live line on a terminal, a plain line every few seconds elsewhere. It only reads the
// run's counters now and then, so that tasks cost nothing more for being watched.
import { printable } from '../base/printable.ts';
import { showDuration } from '../base/time.ts';
import type { Run } from '../load/run.ts';

/** 'auto': live on a terminal; elsewhere only of runs that take longer than a few seconds. */
export type ProgressWish = 'on' | 'off' | 'auto';

const liveMs = 100;
const plainMs = 5_000;
/** Over what the rate is taken. */
const windowMs = 5_000;

interface Sample {
  readonly at: number;
  readonly done: number;
}

export class Progress {
  readonly #wish: ProgressWish;
  readonly #isLive: boolean;
  #run: Run | undefined;
  #startedAt = 0;
  #samples: Sample[] = [];
  #timer: NodeJS.Timeout | undefined;
  #line: LiveLine | undefined;
  #hasTold = false;

  constructor(wish: ProgressWish) {
    this.#wish = wish;
    this.#isLive = process.stderr.isTTY === true && process.env['TERM'] !== 'dumb';
  }

  /** Tells of this run from now on; what was told of the one before ends with a line. */
  watch(run: Run): void {
    if (this.#wish === 'off') return;
    this.finish();
    this.#run = run;
    this.#startedAt = performance.now();
    this.#samples = [];
    this.#hasTold = false;
    if (this.#isLive) this.#line = new LiveLine();
    this.#timer = setInterval(() => this.#tell(), this.#isLive ? liveMs : plainMs).unref();
  }

  /** Takes the line away, before something else is told. */
  stop(): void {
    clearInterval(this.#timer);
    this.#line?.end();
    this.#line = undefined;
  }

  /** The last line, which stays. */
  finish(): void {
    const run = this.#run;
    this.#run = undefined;
    const wasLive = this.#line !== undefined;
    this.stop();
    if (run === undefined || (!wasLive && !this.#hasTold && this.#wish !== 'on')) return;
    const { total, byState, memoized } = run.summary();
    if (total === 0) return;
    const failed = byState.failed + byState.dep_fail;
    const parts = [`${number(byState.exec_done + memoized)} done`];
    if (memoized > 0) parts.push(`${number(memoized)} of them cached`);
    if (failed > 0) parts.push(`${number(failed)} failed`);
    const took = showDuration(performance.now() - this.#startedAt);
    process.stderr.write(
      `chervil: ${number(total)} ${total === 1 ? 'task' : 'tasks'} in ${took}: ${parts.join(', ')}\n`,
    );
  }

  #tell(): void {
    if (this.#run === undefined) return;
    const text = this.#describe(this.#run);
    if (this.#line !== undefined) {
      this.#line.show(text);
    } else {
      this.#hasTold = true;
      process.stderr.write(`chervil: ${text}\n`);
    }
  }

  #describe(run: Run): string {
    const { total, live, byState, memoized } = run.summary();
    const failed = byState.failed + byState.dep_fail;
    const done = byState.exec_done + memoized;
    const running = byState.running + byState.running_ended;
    const queued = byState.launched;
    const waiting = live - running - queued;
    const perSecond = this.#rate(done + failed);
    const parts = [`${number(done)} of ${number(total)} done`];
    // Who begins when is only told while somebody listens, as monitoring does; otherwise all that executors hold is `launched`.
    if (running > 0) parts.push(`${number(running)} running`);
    if (queued > 0) parts.push(`${number(queued)} ${running > 0 ? 'queued' : 'with executors'}`);
    if (waiting > 0) parts.push(`${number(waiting)} waiting`);
    if (failed > 0) parts.push(`${number(failed)} failed`);
    if (memoized > 0) parts.push(`${number(memoized)} cached`);
    if (perSecond > 0) parts.push(`${perSecond < 10 ? perSecond.toFixed(1) : number(Math.round(perSecond))}/s`);
    if (perSecond > 0 && live > 0)
      parts.push(`ETA ${showDuration(Math.ceil(live / perSecond) * 1_000).replace('.0', '')}`);
    const stage = run.currentStage;
    return `${stage === undefined ? '' : `${printable(stage)}: `}${parts.join(', ')}`;
  }

  #rate(done: number): number {
    const at = performance.now();
    this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - (this.#samples[0] as Sample).at > Math.max(windowMs, plainMs * 2))
      this.#samples.shift();
    const first = this.#samples[0] as Sample;
    const passedMs = at - first.at;
    return passedMs > 0 ? ((done - first.done) / passedMs) * 1_000 : (done / Math.max(1, at - this.#startedAt)) * 1_000;
  }
}

function number(count: number): string {
  return count.toLocaleString('en');
}

type Write = typeof process.stdout.write;

/** The last line of the terminal. Whatever the program writes goes above it. */
class LiveLine {
  readonly #undo: (() => void)[] = [];
  readonly #writeError: Write;
  #shown = '';
  /** The program's own line on the screen is not over yet. */
  #isMidLine = false;
  #isDrawn = false;

  constructor() {
    this.#writeError = process.stderr.write.bind(process.stderr) as Write;
    for (const stream of [process.stdout, process.stderr]) {
      if (!stream.isTTY) continue;
      const { write } = stream;
      stream.write = ((chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
        this.#erase();
        const isTaken = Reflect.apply(write, stream, [chunk, ...rest]) as boolean;
        if (chunk.length > 0) this.#isMidLine = typeof chunk === 'string' ? !chunk.endsWith('\n') : chunk.at(-1) !== 10;
        this.#draw();
        return isTaken;
      }) as Write;
      this.#undo.push(() => {
        stream.write = write;
      });
    }
  }

  show(text: string): void {
    const width = process.stderr.columns || 80;
    const line = `chervil: ${text}`;
    this.#shown = line.length < width ? line : `${line.slice(0, width - 2)}…`;
    this.#draw();
  }

  end(): void {
    this.#erase();
    this.#shown = '';
    for (const one of this.#undo) one();
  }

  /** A line of the program's that is not over yet stays as it is; this one comes back with its end. */
  #draw(): void {
    if (this.#isMidLine || this.#shown === '') return;
    this.#writeError(`\r\x1b[K${this.#shown}`);
    this.#isDrawn = true;
  }

  #erase(): void {
    if (this.#isDrawn) this.#writeError('\r\x1b[K');
    this.#isDrawn = false;
  }
}
