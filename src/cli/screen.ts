// A text on a terminal that another one replaces, without flicker. Used by `chervil status --watch`.

/** Shows texts in the terminal's other screen, so that what was there before is there again afterwards, also after Ctrl-C. */
export class Screen implements Disposable {
  readonly #leave = (): void => this.leave();
  readonly #end = (): void => process.exit(130);
  #isShown = false;

  show(text: string): void {
    const { rows = 24, columns = 80 } = process.stdout;
    if (!this.#isShown) {
      this.#isShown = true;
      process.stdout.write('\x1b[?1049h\x1b[?25l');
      process.once('exit', this.#leave);
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, this.#end);
    }
    const lines = text.trimEnd().split('\n');
    const shown =
      lines.length < rows ? lines : [...lines.slice(0, rows - 2), `… ${lines.length - rows + 2} more lines`];
    // Each line is drawn over the one that was there: what is the same does not blink.
    process.stdout.write(
      `\x1b[H${shown.map((line) => `${line.length < columns ? line : `${line.slice(0, columns - 2)}…`}\x1b[K`).join('\n')}\n\x1b[J`,
    );
  }

  /** So that what is told of an error stays to be read. */
  [Symbol.dispose](): void {
    this.leave();
  }

  /** Back to what was there before. */
  leave(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    process.stdout.write('\x1b[?25h\x1b[?1049l');
    process.off('exit', this.#leave);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, this.#end);
  }
}
