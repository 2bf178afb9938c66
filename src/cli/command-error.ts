/** Something is wrong with how the command was called: told in one line, without a stack. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
