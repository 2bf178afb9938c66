// Guessing which word somebody meant. Used wherever names that people write are checked.

/** The known word that is probably meant: a slip of one or two letters, or a longer or shorter form of it. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  const close = known.find((name) => distance(name.toLowerCase(), lower) <= Math.min(2, Math.floor(lower.length / 2)));
  return (
    close ??
    known.find(
      (name) => name.length > 3 && (lower.startsWith(name.toLowerCase()) || name.toLowerCase().startsWith(lower)),
    )
  );
}

/** Edits between two words, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
