// Which errors are one and the same, but for what they are about. Used by the list of what wants attention and by `chervil status`.

/** The first line, with numbers, paths and quoted words left out. */
export function shapeOf(kind: string, message: string): string {
  return `${kind}\n${(message.split('\n', 1)[0] as string)
    .replaceAll(/(['"`]).*?\1/g, '…')
    .replaceAll(/\/\S+/g, '/…')
    .replaceAll(/\S*\d\S*/g, '#')}`;
}
