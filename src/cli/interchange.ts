// `chervil interchange`: the broker between a submitter and its pools. Its arguments are its own affair, since Parsl
// starts it as it would its interchange.py, and everything else of the command line is left out of its process.

/** Runs the interchange to its end and sets the exit status. */
export async function interchange(args: readonly string[]): Promise<void> {
  const { interchangeMain } = await import('../interchange/main.ts');
  process.exitCode = await interchangeMain(args);
}
