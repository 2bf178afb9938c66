// How something ended. Only succeed() and fail() make an Outcome, so that none is invented or forgotten on the way.

/** It gave a value. */
export class Success {
  readonly ok = true;
  readonly value: unknown;
  /** Keeps plain objects from passing for an outcome. */
  declare private readonly made: 'by succeed()';
  private constructor(value: unknown) {
    this.value = value;
  }
  /** @internal */
  static of(value: unknown): Success {
    return new Success(value);
  }
}

/** It failed. For a task `error` is a TaskError; for a foreign promise it is whatever that rejected with. */
export class Failure {
  readonly ok = false;
  readonly error: unknown;
  declare private readonly made: 'by fail()';
  private constructor(error: unknown) {
    this.error = error;
  }
  /** @internal */
  static of(error: unknown): Failure {
    return new Failure(error);
  }
}

export type Outcome = Success | Failure;

/** The outcome of something that gave `value`. */
export const succeed: (value: unknown) => Success = Success.of;

/** The outcome of something that failed with `error`. */
export const fail: (error: unknown) => Failure = Failure.of;
