// What the log says while the interchange has no file descriptor left for another pool. Owns what is remembered of the
// shortage and the timer that looks whether it is over. The shell tells it what happens.
import { type DescriptorLimit, descriptorShortage, mostDescriptors } from '../base/descriptors.ts';
import { type Clock, showDuration, systemClock } from '../base/time.ts';

const quietMs = 10_000;

/** What {@link Descriptors} knows of the world. */
export interface DescriptorsWorld {
  readonly clock: Clock;
  readonly most: number | undefined;
  shortage(): DescriptorLimit | undefined;
}

/**
 * Tells the first time that descriptors run out, then at most every ten seconds how often they did, and the end. Those who
 * are turned away cannot be counted: libuv closes their connections without a word.
 */
export class Descriptors {
  readonly #tell: (line: string) => void;
  readonly #world: DescriptorsWorld;
  /** Since the last line. */
  #untold = 0;
  /** Since when there is a shortage. */
  #since: number | undefined;
  #limit: DescriptorLimit = 'EMFILE';
  #stopTimer: (() => void) | undefined;

  constructor(tell: (line: string) => void, world?: DescriptorsWorld) {
    this.#tell = tell;
    this.#world = world ?? { clock: systemClock, most: mostDescriptors(), shortage: descriptorShortage };
  }

  /** A connection took the last one, or found none. */
  onShort(limit: DescriptorLimit = 'EMFILE'): void {
    this.#limit = limit;
    if (this.#since === undefined) {
      this.#since = this.#world.clock.now();
      this.#tell(this.#line(''));
    } else {
      this.#untold++;
    }
    this.#lookLater();
  }

  /** A connection is gone. Another one may take its descriptor at once, so that this alone is not the end of a shortage. */
  onLeft(): void {
    if (this.#since !== undefined) this.#lookLater();
  }

  close(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #lookLater(): void {
    this.#stopTimer ??= this.#world.clock.after(quietMs, () => {
      this.#stopTimer = undefined;
      this.#look();
    });
  }

  #look(): void {
    if (this.#since === undefined) return;
    if (this.#untold > 0) {
      this.#tell(this.#line(`; ${this.#untold} times more since the last line`));
      this.#untold = 0;
      this.#lookLater();
    } else if (this.#world.shortage() === undefined) {
      const lasted = showDuration(this.#world.clock.now() - this.#since);
      this.#since = undefined;
      this.#tell(`There are file descriptors for pools again, after ${lasted}`);
    }
    // Else all are taken and stay so: the next that leaves has us look again.
  }

  #line(howOften: string): string {
    const { most } = this.#world;
    const advice = `Each pool needs one. Those that come now are turned away, and try again`;
    if (this.#limit === 'ENFILE')
      return `This machine has no file descriptor left (ENFILE)${howOften}. ${advice}; close what has many files open, or raise fs.file-max with sysctl`;
    const bound = most === undefined ? '' : `: this process may have ${most}`;
    return `No file descriptor is left (EMFILE)${bound}${howOften}. ${advice}; start the interchange where \`ulimit -n\` gives more`;
  }
}
