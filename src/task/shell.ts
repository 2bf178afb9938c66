// Where in a bash script a place is: in plain command text, or inside quotes, a comment, a here-document, … task/command.ts asks it
// whether a quoted word still is a word there. It reads bash's quoting, not its grammar; where it cannot be sure, it says so, and the
// template is refused.
import { assertNever } from '../base/assert.ts';

/** A stretch of the script that was put in. Holes are in the order of the script and do not overlap. */
export interface Hole {
  readonly start: number;
  readonly end: number;
  /** A quoted word is passed over; a command is read like the text around it, but must stand where a command's text can. */
  readonly kind: 'word' | 'command';
  /** Which interpolation it came from, from 0. */
  readonly index: number;
  /** A number needs no quotes, so it may also stand in arithmetic. */
  readonly number: boolean;
  /** The first or last of the words that an array became: nothing may touch it on that side. */
  readonly first: boolean;
  last: boolean;
}

/** The first hole that stands where it cannot, and why, or `undefined`. */
export function findMisplacedHole(script: string, holes: readonly Hole[]): { hole: Hole; problem: string } | undefined {
  if (holes.length === 0) return undefined;
  const reader = new Reader(script, holes);
  return reader.read();
}

type Inside = 'command' | 'single' | 'ansi' | 'double' | 'backquote' | 'brace' | 'arithmetic';

/** What one step can pass over as a whole, or what makes the character behind it another one. */
type Passed = 'comment' | 'heredoc' | 'delimiter' | 'escape' | 'dollar' | 'other';

const inQuotes =
  'stands inside quotes. sh quotes every value itself: leave the quotes away; only text beside it may have some, as in "page "…".txt".';

const reasons: Record<Exclude<Inside, 'command'> | Passed, string> = {
  single: inQuotes,
  double: inQuotes,
  ansi: inQuotes,
  backquote: 'stands inside backquotes, where bash reads backslashes twice. Write $(…) instead.',
  brace:
    'stands inside a parameter expansion ($ with braces). Give it to a variable before, name=…; and use "$name" there.',
  arithmetic: 'stands in arithmetic, where only numbers can be put. Pass a number.',
  comment: 'stands in a comment. Leave it away, or write the comment above the template.',
  heredoc:
    'stands in a here-document, where quotes are text. Use <<< instead: it gives one value to the command as its input.',
  delimiter: 'is the end mark of a here-document. Write the mark out.',
  escape: 'stands behind a backslash, which would escape its first character. Leave it away.',
  dollar: "stands behind a $, which would make a variable of it. Leave it away; for the sign itself write '$'.",
  other: 'would become one sign with the text before it. Put a space between them.',
};

/** What encloses the current place, innermost last. `depth` counts plain parentheses in a command or in arithmetic. */
interface Frame {
  readonly inside: Inside;
  depth: number;
}

class Reader {
  private readonly script: string;
  private readonly holes: readonly Hole[];
  private readonly frames: Frame[] = [{ inside: 'command', depth: 0 }];
  private at = 0;
  private next = 0;
  /** A word has begun: `#` is no comment, and an array may not follow. */
  private inWord = false;
  /** Why the reader can no longer tell where it is. */
  private unsure: string | undefined;
  /** What the last step went over: a hole that starts in there stands inside it. */
  private passed: Passed = 'other';
  private readonly heredocs: { mark: string; tabs: boolean }[] = [];

  constructor(script: string, holes: readonly Hole[]) {
    this.script = script;
    this.holes = holes;
  }

  read(): { hole: Hole; problem: string } | undefined {
    while (this.next < this.holes.length) {
      const hole = this.holes[this.next]!;
      if (hole.start > this.at) {
        this.at = this.step();
        continue;
      }
      const problem = hole.start < this.at ? reasons[this.passed] : this.problemAt(hole);
      if (problem) return { hole, problem };
      this.next++;
      if (hole.kind === 'word' && hole.end > hole.start) {
        this.at = hole.end;
        this.inWord = true;
        this.passed = 'other';
      }
    }
    return undefined;
  }

  private problemAt(hole: Hole): string | undefined {
    const { inside } = this.frames.at(-1)!;
    if (this.unsure) return this.unsure;
    if (inside === 'arithmetic' && hole.number) return undefined;
    if (inside !== 'command') return reasons[inside];
    if (hole.end > hole.start && (this.passed === 'dollar' || this.passed === 'escape')) return reasons[this.passed];
    const after = this.script[hole.end];
    if ((hole.first && this.inWord) || (hole.last && after !== undefined && !/[\s;&|<>()]/.test(after))) {
      return 'is an array, which becomes several words: put spaces around it, or map its elements to the words that you mean.';
    }
    return undefined;
  }

  /** Reads one sign, or what it begins; the next place to read. */
  private step(): number {
    const frame = this.frames.at(-1)!;
    this.passed = 'other';
    switch (frame.inside) {
      case 'command':
        return this.stepInCommand(frame);
      case 'single':
        return this.stepInQuotes("'", false);
      case 'ansi':
        return this.stepInQuotes("'", true);
      case 'backquote':
        return this.stepInQuotes('`', true);
      case 'double':
        return this.script[this.at] === '"' ? this.close() : this.stepInExpanding();
      case 'brace':
        return this.stepInBrace();
      case 'arithmetic':
        return this.stepInArithmetic(frame);
      default:
        return assertNever(frame.inside);
    }
  }

  private stepInCommand(frame: Frame): number {
    const { script, at } = this;
    switch (script[at]) {
      case '\\':
        if (script[at + 1] !== '\n') this.inWord = true;
        return this.escape();
      case "'":
        return this.open('single');
      case '"':
        return this.open('double');
      case '`':
        return this.open('backquote');
      case '$':
        return this.dollar();
      case '(':
        if (script[at + 1] === '(' && !this.inWord) return this.open('arithmetic', 2);
        frame.depth++;
        return this.separator();
      case ')':
        if (this.heredocs.length > 0) this.unsure = unsure('a here-document whose text begins behind its parenthesis');
        if (frame.depth === 0 && this.frames.length > 1) return this.close();
        // At the bottom one without its partner ends a pattern of `case`.
        if (frame.depth > 0) frame.depth--;
        return this.separator();
      case '<':
        if (script.startsWith('<<<', at)) return this.separator(3);
        return script.startsWith('<<', at) ? this.readDelimiter() : this.separator();
      case '\n':
        return this.passHeredocs(this.separator());
      case '#':
        return this.inWord ? at + 1 : this.passComment();
      case ' ':
      case '\t':
      case '>':
      case '&':
      case '|':
      case ';':
        return this.separator();
      default:
        if (!this.inWord && this.frames.length > 1 && this.isCase()) this.unsure = unsure('a case inside $(…)');
        this.inWord = true;
        return at + 1;
    }
  }

  private stepInQuotes(end: string, escapes: boolean): number {
    const character = this.script[this.at];
    if (character === '\\' && escapes) return this.escape();
    return character === end ? this.close() : this.at + 1;
  }

  private stepInBrace(): number {
    switch (this.script[this.at]) {
      case '}':
        return this.close();
      case '"':
        return this.open('double');
      case "'":
        if (!this.frames.some(({ inside }) => inside === 'double')) return this.open('single');
        // Within "…" it depends on the kind of expansion whether ' is a quote.
        this.unsure = unsure('a quote in a parameter expansion in quotes');
        return this.at + 1;
      default:
        return this.stepInExpanding();
    }
  }

  private stepInArithmetic(frame: Frame): number {
    switch (this.script[this.at]) {
      case '(':
        frame.depth++;
        return this.at + 1;
      case ')':
        if (frame.depth > 0) {
          frame.depth--;
          return this.at + 1;
        }
        if (this.script[this.at + 1] === ')') return this.close(2);
        this.unsure = unsure('(( that begins no arithmetic');
        return this.close();
      case '"':
        return this.open('double');
      case "'":
        return this.open('single');
      default:
        return this.stepInExpanding();
    }
  }

  /** What means the same in "…", in ${…} and in arithmetic. */
  private stepInExpanding(): number {
    switch (this.script[this.at]) {
      case '\\':
        return this.escape();
      case '`':
        return this.open('backquote');
      case '$':
        return this.dollar();
      default:
        return this.at + 1;
    }
  }

  private dollar(): number {
    const following = this.isHole(this.at + 1) ? '' : this.script.slice(this.at + 1, this.at + 3);
    const inDouble = this.frames.at(-1)!.inside === 'double';
    this.inWord = true;
    if (following === '((') return this.open('arithmetic', 3);
    if (following.startsWith('(')) {
      const next = this.open('command', 2);
      this.inWord = false;
      return next;
    }
    if (following.startsWith('{')) return this.open('brace', 2);
    if (following.startsWith('[')) this.unsure = unsure('$[…], an old form of arithmetic');
    if (following.startsWith("'") && !inDouble) return this.open('ansi', 2);
    // `$$` is the process id: its second half makes no variable of what follows.
    if (following.startsWith('$')) return this.at + 2;
    this.passed = 'dollar';
    return this.at + 1;
  }

  /** Goes over an escaped character, too; a hole there would be escaped. */
  private escape(): number {
    if (!this.isHole(this.at + 1)) return this.at + 2;
    this.passed = 'escape';
    return this.at + 1;
  }

  private open(inside: Inside, length = 1): number {
    this.inWord = true;
    this.frames.push({ inside, depth: 0 });
    return this.at + length;
  }

  private close(length = 1): number {
    this.inWord = true;
    this.frames.pop();
    return this.at + length;
  }

  private separator(length = 1): number {
    this.inWord = false;
    return this.at + length;
  }

  private isHole(at: number): boolean {
    return this.holes[this.next]?.start === at;
  }

  /** A `case` where a command may begin; rather too often than too seldom. */
  private isCase(): boolean {
    if (!/^case\s/.test(this.script.slice(this.at, this.at + 5))) return false;
    const before = this.script.slice(Math.max(0, this.at - 200), this.at);
    return /(?:^|[;|&(){}!\n`]|\b(?:then|do|else|if|while|until|elif|time|coproc))[ \t]*$/.test(before);
  }

  private passComment(): number {
    const end = this.script.indexOf('\n', this.at);
    this.passed = 'comment';
    return end < 0 ? this.script.length + 1 : end;
  }

  private readDelimiter(): number {
    const tabs = this.script[this.at + 2] === '-';
    const start = this.at + (tabs ? 3 : 2);
    const word = /[ \t]*((?:\\[\s\S]|'[^']*'|"(?:\\[\s\S]|[^"\\])*"|[^\s;&|<>()\\'"])*)/y;
    word.lastIndex = start;
    const found = word.exec(this.script)!;
    this.heredocs.push({ mark: found[1]!.replace(/\\([\s\S])|['"]/g, '$1'), tabs });
    this.passed = 'delimiter';
    return start + found[0].length;
  }

  private passHeredocs(from: number): number {
    for (const { mark, tabs } of this.heredocs.splice(0)) {
      this.passed = 'heredoc';
      for (let ended = false; !ended; ) {
        const end = this.script.indexOf('\n', from);
        const line = this.script.slice(from, end < 0 ? undefined : end);
        from = end < 0 ? this.script.length + 1 : end + 1;
        ended = end < 0 || (tabs ? line.replace(/^\t+/, '') : line) === mark;
      }
    }
    return from;
  }
}

function unsure(what: string): string {
  return `stands behind ${what}, which sh cannot follow. Give it to a variable of bash before, name=…; and use "$name".`;
}
