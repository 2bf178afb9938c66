// Which errors are one and the same, but for what they are about. Used by the list of what wants attention and by `chervil status`.

/** More of a message says no more. */
const longest = 500;

/** The first line, with numbers, paths and quoted words left out. */
export function shapeOf(kind: string, message: string): string {
  return `${kind}\n${(message.split('\n', 1)[0] as string)
    .slice(0, longest)
    .replaceAll(/(['"`]).*?\1/g, '…')
    .replaceAll(/\/\S+/g, '/…')
    .replaceAll(/\S*\d\S*/g, '#')}`;
}
