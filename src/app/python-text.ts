// Python given as text: brings it to the margin, and finds the function in it. For python-app.ts and wrapper.ts.
import { AppDefinitionError } from '../task/errors.ts';

/**
 * The text without the indentation that all of its lines share, and the name of its function.
 *
 * @param wanted which function; `undefined`: the only one
 * @param maker what wants it, for messages
 * @throws AppDefinitionError when there is none, or it is not clear which
 */
export function readPythonText(
  text: unknown,
  wanted: string | undefined,
  maker: 'pythonApp' | 'pythonWrapper',
): { readonly code: string; readonly name: string } {
  if (typeof text !== 'string')
    throw new AppDefinitionError(`${maker}.source() needs the text of a Python function, not a ${typeof text}.`);
  const code = dedent(text);
  const names = [...new Set(Array.from(code.matchAll(/^(?:async\s+)?def\s+(\w+)/gmu), ([, name]) => name as string))];
  const name = wanted ?? (names.length === 1 ? names[0] : undefined);
  if (name !== undefined && names.includes(name)) return { code, name };
  const found = names.length === 0 ? 'no function' : `the functions ${names.join(', ')}`;
  if (wanted !== undefined)
    throw new AppDefinitionError(`${maker}.source() should take the function ${wanted}, but its text has ${found}.`);
  throw new AppDefinitionError(
    names.length === 0
      ? `${maker}.source() needs the text of a Python function, and found no \`def\` at its margin.`
      : `${maker}.source() found ${found}. Say which it is: ${maker}.source(text, { function: '${names.at(-1)}' }).`,
  );
}

/** As Python's own `textwrap.dedent`: lines of nothing but blanks do not count. */
function dedent(text: string): string {
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  let margin: string | undefined;
  for (const line of lines) {
    if (line.trim() === '') continue;
    const own = /^[ \t]*/.exec(line)?.[0] ?? '';
    if (margin === undefined) margin = own;
    while (!own.startsWith(margin)) margin = margin.slice(0, -1);
  }
  const cut = margin?.length ?? 0;
  const rest = lines.map((line) => (line.trim() === '' ? '' : line.slice(cut)));
  while (rest[0] === '') rest.shift();
  while (rest.at(-1) === '') rest.pop();
  return `${rest.join('\n')}\n`;
}
