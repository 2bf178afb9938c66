// Commands for bash, and the template that quotes what is put into them. Apps use it as `sh` (also inside shipped functions, on
// workers, so nothing heavy is imported here); worker/bash.ts runs the result.
import { fileURLToPath } from 'node:url';
import type { Result } from '../base/result.ts';
import { File } from './file.ts';
import { findMisplacedHole, type Hole } from './shell.ts';

/** What may be put into `sh`. An array becomes several words, a {@link Command} its text. */
export type Word = string | number | bigint | boolean | File | URL | Command | readonly Word[];

const brand = Symbol.for('chervil.Command');

/**
 * A piece of bash: what `sh` makes and what the function of a bash app returns. Its one own field is plain data.
 *
 * @example
 * const count = sh`wc -l ${'my file'}`;
 * count.script // "wc -l 'my file'"
 */
export class Command {
  /** The text for `bash -c`. */
  readonly script: string;

  constructor(script: string) {
    this.script = script;
  }

  /** The script, for logs and for {@link Word}s in which a whole command is one word: `ssh host ${command.script}`. */
  toString(): string {
    return this.script;
  }

  /** Known by name, so that two copies of Chervil in one program understand each other; data from JSON never has it. */
  get [brand](): 'command' | 'raw' {
    return 'command';
  }
}

class RawText extends Command {
  override get [brand](): 'command' | 'raw' {
    return 'raw';
  }
}

/** The template, and what belongs to it. */
export interface Shell {
  (template: TemplateStringsArray, ...words: readonly Word[]): Command;
  /** Text that is put in as it is, unquoted: options from a trusted place, pieces of syntax. */
  raw(text: string): Command;
  /** One value as one word of bash (an array: several). `sh` does this to everything that is put into it. */
  quote(word: Word): string;
}

/**
 * A command for bash. Everything put in by `${…}` is quoted as one word, whatever characters it has: strings, numbers, Files and
 * Outputs (their path), URLs; an array becomes one word for each element; another `sh` command is put in as text.
 * So no quotes are needed around `${…}`, and quotes around it are an error.
 *
 * Backslashes belong to bash: `\n`, `\.` and `\$` reach it as they are written. Only `` \` `` and `\${` mean `` ` `` and `${`.
 *
 * @throws TypeError for `undefined`, `null`, objects, functions and promises, naming which one; and where a quoted word would not
 * be a word: inside quotes, comments, here-documents, `` `…` `` and `${…}` of bash.
 *
 * @example
 * sh`sort -n ${io.from} | head -n ${lines} > ${io.to}`
 * sh`tar -cf ${archive} ${files} ${verbose ? sh`--verbose` : sh``}`
 */
export const sh: Shell = Object.assign(command, {
  raw(text: string): Command {
    if (typeof text !== 'string') throw new TypeError(`sh.raw takes a string, not ${describe(text)}.`);
    return new RawText(text);
  },
  quote(word: Word): string {
    const problem = (what: string): TypeError => new TypeError(`sh.quote was given ${what}.`);
    return pieces(word, 0, problem)
      .map((piece) => piece.text)
      .join(' ');
  },
});

/** The script of what a bash app's function returned: a {@link Command}, or a string, used as it is. */
export function scriptOf(returned: unknown): Result<string> {
  if (typeof returned === 'string') return { ok: true, value: returned };
  // A command from a worker thread has lost its class on the way: its one field is enough here, as a string would be.
  const script =
    typeof returned === 'object' && returned !== null && 'script' in returned ? returned.script : undefined;
  if (typeof script === 'string') return { ok: true, value: script };
  return { ok: false, error: describe(returned) };
}

function command(template: TemplateStringsArray, ...words: readonly Word[]): Command {
  if (!Array.isArray(template) || !Array.isArray(template.raw)) {
    throw new TypeError('sh is a template: write sh`…`, or sh.raw(text) for a command that is already text.');
  }
  const texts = template.raw.map(ownText);
  let script = texts[0] ?? '';
  const holes: Hole[] = [];
  for (const [index, word] of words.entries()) {
    const after = texts[index + 1] ?? '';
    const parts = pieces(word, index, (what) => new TypeError(`${place(index, texts)} is ${what}.`));
    const start = script.length;
    for (const [at, part] of parts.entries()) {
      if (at > 0) script += ' ';
      if (part.kind !== 'raw') {
        const hole = { start: script.length, end: script.length + part.text.length, kind: part.kind, index };
        holes.push({ ...hole, number: part.number, first: Array.isArray(word) && at === 0, last: false });
      }
      script += part.text;
    }
    if (Array.isArray(word)) {
      const last = holes.at(-1);
      if (parts.length === 0)
        holes.push({ start, end: start, kind: 'word', index, number: false, first: true, last: true });
      else if (last?.index === index) last.last = true;
    }
    // `echo ${2}>log` must not become a redirection of descriptor 2.
    if (parts.at(-1)?.number && /^[<>]/.test(after)) script += ' ';
    script += after;
  }
  const misplaced = findMisplacedHole(script, holes);
  if (misplaced) throw new TypeError(`${place(misplaced.hole.index, texts)} ${misplaced.problem}`);
  return new Command(script);
}

interface Piece {
  readonly kind: 'word' | 'command' | 'raw';
  readonly text: string;
  readonly number: boolean;
}

function pieces(word: unknown, index: number, problem: (what: string) => TypeError): Piece[] {
  switch (typeof word) {
    case 'string':
      if (word.includes('\0')) throw problem('a string with a NUL character, which no command can be given');
      if (/\p{Surrogate}/u.test(word))
        throw problem('a string with half a character (a lone surrogate), which has no bytes');
      return [{ kind: 'word', text: quoted(word), number: false }];
    case 'number':
    case 'bigint':
      return [{ kind: 'word', text: String(word), number: true }];
    case 'boolean':
      return [{ kind: 'word', text: String(word), number: false }];
    case 'object': {
      if (Array.isArray(word))
        return Array.from(word as unknown[]).flatMap((element) => pieces(element, index, problem));
      const inner = textOfObject(word, problem);
      return typeof inner === 'string' ? pieces(inner, index, problem) : [inner];
    }
    default:
      throw problem(describe(word));
  }
}

function textOfObject(word: object | null, problem: (what: string) => TypeError): string | Piece {
  if (word === null) throw problem('null');
  if (brand in word) {
    const { script } = word as Command; // only our own classes have the brand
    if (script.includes('\0')) throw problem('a command with a NUL character, which bash cannot be given');
    return { kind: word[brand] === 'raw' ? 'raw' : 'command', text: script, number: false };
  }
  try {
    if (word instanceof URL) return word.protocol === 'file:' ? fileURLToPath(word) : word.href;
    if (isFile(word)) return word.path;
  } catch (error) {
    throw problem(`a file without a path: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw problem(describe(word));
}

/** Also a File of another copy of Chervil. */
function isFile(word: object): word is File {
  return word instanceof File || ('localPath' in word && 'url' in word && 'path' in word);
}

// Bash takes these as they are, wherever a word may stand. Digits alone are not among them (`2>`), nor `..` (`{a..z}`), nor its own words.
const plain = /^(?!\d+$)(?!.*\.\.)[\w./-]+$/;
const reserved = /^(?:if|then|else|elif|fi|do|done|case|esac|while|until|for|select|in|time|function|coproc)$/;

function quoted(text: string): string {
  return plain.test(text) && !reserved.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The template's own text as bash shall see it: of JavaScript's escapes only the two are undone that a template cannot do without. */
function ownText(raw: string): string {
  const text = raw.includes('\\') ? raw.replace(/\\(`|\$\{)/g, '$1') : raw;
  if (text.includes('\0')) throw new TypeError('The text of sh`…` has a NUL character, which bash cannot be given.');
  return text;
}

function place(index: number, texts: readonly string[]): string {
  const text = texts.join('…').replace(/\s+/g, ' ').trim();
  return `Interpolation ${index + 1} of sh\`${text.length > 60 ? `${text.slice(0, 59)}…` : text}\``;
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'function') return `the function ${value.name || '(without a name)'}`;
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value !== 'object') return value === undefined ? 'undefined' : `the ${typeof value} ${String(value)}`;
  if ('then' in value && typeof value.then === 'function') {
    return 'a promise: await it first, or pass a future to the app as an argument';
  }
  if (Array.isArray(value)) return 'an array';
  const name = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor?.name;
  return name === 'Object' || typeof name !== 'string' ? 'an object' : `an object of class ${name}`;
}
