// What bodies print in a thread: taken from process.stdout and process.stderr, and handed on with the slot of the job that runs.
// Called by entry.ts alone.

/** Puts `print` in the place of the thread's output streams. */
export function capturePrinting(print: (stream: 'stdout' | 'stderr', text: string) => void): void {
  for (const stream of ['stdout', 'stderr'] as const) {
    const decoder = new TextDecoder();
    const write = (chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
      const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
      if (text !== '') print(stream, text);
      const callback = typeof encoding === 'function' ? encoding : done;
      if (typeof callback === 'function') queueMicrotask(() => callback());
      return true;
    };
    process[stream].write = write as typeof process.stdout.write;
  }
}
