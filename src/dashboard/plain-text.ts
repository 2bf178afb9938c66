// What tasks wrote, as text that only says what it says. Used by routes.ts for every answer.
//
// Programs that write for terminals colour their output, draw over what they have drawn, and may hold characters that turn the
// rest of the line round. A page shows such things as boxes, or as something else than what is there.

/** Without a terminal's colours and moves; of a line that was drawn again and again the last state; other controls as signs. */
export function plainText(text: string): string {
  if (!special.test(text)) return text;
  return text
    .replaceAll(sequences, '')
    .split('\n')
    .map(lastState)
    .join('\n')
    .replaceAll(controls, (character) => {
      const code = character.charCodeAt(0);
      if (code < 0x20) return String.fromCharCode(0x24_00 + code);
      return code === 0x7f ? '\u2421' : `\\u${code.toString(16).padStart(4, '0')}`;
    });
}

/** Of a line that was drawn over, what is seen in the end. */
function lastState(line: string): string {
  let end = line.length;
  while (line[end - 1] === '\r') end--;
  return line.slice(line.lastIndexOf('\r', end - 1) + 1, end);
}

/** A value as JSON, with each text in it made plain. */
export function plainJson(value: unknown): string {
  const json = JSON.stringify(value);
  // Nearly always there is nothing to do: then no text is looked at on its own.
  if (!written.test(json)) return json;
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'string' ? plainText(inner) : inner));
}

/** As {@link special}, in JSON. */
const written = /\\u00[01]|\\[bfr]|[\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

/** All but tab and line feed, and what changes the direction of what follows. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const special = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
/** Of terminals: colours and moves (CSI), titles and links (OSC), sets of characters, as tput sgr0 writes them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const sequences = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]/g;
