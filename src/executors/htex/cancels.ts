// Tasks that nobody wants any more, on their way to the interchange: all of a turn at once, and one request at a time. The executor
// owns one.

/** What is needed of the executor. */
export interface CancelSide {
  /** Asks for it. `unknown`: the interchange has no such tasks, yet or any more. `goOn`: so many run where nobody can stop them. */
  send(ids: readonly number[], reason: string): Promise<{ readonly unknown: readonly number[]; readonly goOn: number }>;
  /** The task is not answered. */
  isWaitedFor(id: number): boolean;
  log(message: string): void;
}

/** A task that the interchange does not know yet, or of which it could not be told, is cancelled again after so long, in milliseconds. */
const againMs = 20;

export class Cancels {
  readonly #side: CancelSide;
  /** Ids by the reason that is told. */
  readonly #waiting = new Map<string, number[]>();
  #isAsking = false;
  #isClosed = false;
  #hasSaidForeign = false;

  constructor(side: CancelSide) {
    this.#side = side;
  }

  add(id: number, reason: string): void {
    const others = this.#waiting.get(reason);
    if (others === undefined) this.#waiting.set(reason, [id]);
    else others.push(id);
    this.#ask();
  }

  /** Asks for nothing more. */
  close(): void {
    this.#isClosed = true;
  }

  #ask(): void {
    if (this.#isAsking || this.#isClosed) return;
    this.#isAsking = true;
    setImmediate(() => void this.#send());
  }

  /** Those that come meanwhile wait for the answer. */
  async #send(): Promise<void> {
    for (const [reason, ids] of this.#waiting) {
      this.#waiting.delete(reason);
      if (this.#isClosed) break;
      try {
        const { unknown, goOn } = await this.#side.send(ids, reason);
        if (goOn > 0) this.#sayForeign();
        // Commands overtake tasks, which go another way: what is not answered is on its way still.
        const early = unknown.filter((id) => this.#side.isWaitedFor(id));
        if (early.length > 0) this.#again(reason, early);
      } catch (error) {
        // An interchange that is gone is told by others, and then nothing of these is waited for.
        const left = ids.filter((id) => this.#side.isWaitedFor(id));
        if (left.length === 0) continue;
        this.#side.log(`${left.length} tasks could not be cancelled, and are tried again: ${(error as Error).message}`);
        this.#again(reason, left);
      }
    }
    this.#isAsking = false;
  }

  #again(reason: string, ids: readonly number[]): void {
    setTimeout(() => {
      for (const id of ids) if (this.#side.isWaitedFor(id)) this.add(id, reason);
    }, againMs).unref();
  }

  #sayForeign(): void {
    if (this.#hasSaidForeign) return;
    this.#hasSaidForeign = true;
    this.#side.log(
      "tasks are given up here when they are cancelled, but go on running: Parsl's interchange and pools cannot stop a task",
    );
  }
}
