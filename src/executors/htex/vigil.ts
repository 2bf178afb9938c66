// Notices an interchange that is there and does nothing: stopped, or hung. While there are tasks it is asked now and then whether it still
// answers. executor.ts has one for each interchange.

export interface VigilOptions {
  /** Between two questions, in milliseconds. */
  readonly periodMs: number;
  /** How long an answer is waited for, in milliseconds. */
  readonly thresholdMs: number;
  /** There is nobody to worry about it. */
  readonly isIdle: () => boolean;
  /** Asks; rejects when no answer came in time. */
  readonly ask: (timeoutMs: number) => Promise<unknown>;
  readonly onSilent: () => void;
}

/** @returns what ends it */
export function keepVigil({ periodMs, thresholdMs, isIdle, ask, onSilent }: VigilOptions): () => void {
  let isOver = false;
  let isAsking = false;
  const look = async (): Promise<void> => {
    if (isAsking || isIdle()) return;
    isAsking = true;
    const askedAt = performance.now();
    try {
      await ask(thresholdMs);
    } catch {
      // Anything else than silence, such as a closed socket, is somebody else's business.
      if (!isOver && performance.now() - askedAt >= thresholdMs) onSilent();
    } finally {
      isAsking = false;
    }
  };
  const timer = setInterval(() => void look(), periodMs).unref();
  return () => {
    isOver = true;
    clearInterval(timer);
  };
}
