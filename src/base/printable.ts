// What tasks wrote, as text that a terminal only shows. Used for everything that the commands print of runs,
// tasks and pools, and for the interchange's log.

/**
 * A line without what moves the cursor, changes colours or titles, or turns the text that follows: each such character stands as
 * its number.
 */
export function printable(line: string): string {
  // Nearly every line is plain, and to see that takes a tenth of the time.
  if (!/[^ -~]/.test(line)) return line;
  return line.replaceAll(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    if (character === '\t') return character;
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });
}
