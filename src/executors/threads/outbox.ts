// What leaves for one thread with the next message: jobs, and the functions that it does not know yet. Used by thread.ts.
import type { MessagePort } from 'node:worker_threads';
import type { Attempt } from '../../task/ports.ts';
import { checkValue, encodeValue } from '../../wire/values.ts';
import type { KnownFunction } from './known.ts';
import { type FunctionEntry, type JobExtra, type JobsMessage, jobStride, type ToThread } from './messages.ts';
import { isHeavy } from './weight.ts';

/** A job that could not be sent after all. */
export interface Unsent {
  readonly slot: number;
  readonly thrown: unknown;
}

export class Outbox {
  readonly #knows = new Set<number>();
  #hasReaper = false;
  #jobs: unknown[] = [];
  #functions: FunctionEntry[] = [];
  /** It may take long to read. */
  #isHeavy = false;

  get isEmpty(): boolean {
    return this.#jobs.length === 0;
  }

  /** Throws a SerializationError when its arguments cannot be sent. */
  add(attempt: Attempt, { index, source, app, kind }: KnownFunction, slot: number): void {
    let args: unknown = attempt.args;
    let isEncoded = false;
    if (!attempt.plainArgs) {
      const what = `the arguments of ${app}()`;
      if (checkValue(args, what) === 'encode') {
        args = encodeValue(args, what);
        isEncoded = true;
      }
    }
    const { tryNumber, timeoutMs, watched, files, wrappers } = attempt;
    let extra: JobExtra | undefined;
    this.#isHeavy ||= wrappers.length > 0 || isHeavy(args);
    if (isEncoded || tryNumber > 0 || timeoutMs > 0 || watched || files !== undefined || wrappers.length > 0) {
      extra = { tryNumber, timeoutMs, watched, files, wrappers, isEncoded };
    }
    if (!this.#knows.has(index)) {
      this.#knows.add(index);
      // What it captured comes with it.
      this.#isHeavy = true;
      this.#functions.push({ index, source, app, kind });
    }
    this.#jobs.push(slot, index, attempt.taskId, args, extra);
  }

  /**
   * Sends everything in one message: as a parcel if it may take long to read.
   * @param reaperFd asked for before the first command
   * @returns jobs that structured clone refused, though their values passed the check
   */
  send(port: MessagePort, parcels: MessagePort, reaperFd: () => number | undefined): readonly Unsent[] {
    const functions = this.#functions.length > 0 ? this.#functions : undefined;
    const needsReaper = !this.#hasReaper && functions?.some(({ kind }) => kind === 'bash') === true;
    this.#hasReaper ||= needsReaper;
    const message: JobsMessage = { jobs: this.#jobs, functions, reaperFd: needsReaper ? reaperFd() : undefined };
    this.#jobs = [];
    this.#functions = [];
    const isParcel = this.#isHeavy;
    this.#isHeavy = false;
    const post = (message: JobsMessage): void => {
      if (isParcel) parcels.postMessage(message);
      // IMPORTANT: told of when it is there, so that nothing comes between the thread's sign that it reads and what it reads.
      port.postMessage(isParcel ? parcelNote : message);
    };
    try {
      post(message);
      return none;
    } catch {
      return sendOneByOne(post, message);
    }
  }
}

const none: readonly Unsent[] = [];
const parcelNote: ToThread = { parcel: true };

/** Each job by itself, so that only those fail that must. */
function sendOneByOne(post: (message: JobsMessage) => void, { jobs, functions, reaperFd }: JobsMessage): Unsent[] {
  const unsent: Unsent[] = [];
  post({ jobs: [], functions, reaperFd });
  for (let at = 0; at < jobs.length; at += jobStride) {
    try {
      post({ jobs: jobs.slice(at, at + jobStride), functions: undefined, reaperFd: undefined });
    } catch (thrown) {
      unsent.push({ slot: jobs[at] as number, thrown });
    }
  }
  return unsent;
}
