// Reads pages of the guide: their code blocks, the output that a page promises for each, and their links.
// test/docs.test.ts runs what this finds. CONTRIBUTING.md has the marks that a block may carry.

/** A fenced block of a page. */
export interface Block {
  readonly language: string;
  /** What follows the language: `no-run`, `exit=1`, `file=tasks.ts`. */
  readonly marks: ReadonlyMap<string, string>;
  readonly text: string;
  /** Line of the page on which its text begins, from 1. */
  readonly line: number;
}

/** A block of TypeScript, with everything that is needed to try it. */
export interface Program {
  readonly text: string;
  readonly line: number;
  readonly isRun: boolean;
  /** Blocks before it on its page that are marked `file=NAME`: they stand beside it. */
  readonly files: ReadonlyMap<string, Block>;
  /** What it prints; `undefined` where the page does not say. */
  readonly stdout: string | undefined;
  readonly stderr: string | undefined;
  readonly exitCode: number;
  /** It leaves a failure that nobody looks at: `chervil run` ends with 1 then. */
  readonly leavesFailure: boolean;
}

/** The fenced blocks of a page, in order. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split('\n');
  for (let index = 0; index < lines.length; index++) {
    const opening = /^( *)(`{3,})(\S*) *(.*)$/.exec(lines[index] ?? '');
    if (opening === null) continue;
    const [, indent = '', fence = '', language = '', info = ''] = opening;
    const start = index + 1;
    do index++;
    while (index < lines.length && lines[index]?.trim() !== fence);
    const text = lines.slice(start, index).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
    const marks = info
      .split(/\s+/)
      .filter((mark) => mark !== '')
      .map((mark): [string, string] => [mark.split('=')[0] ?? '', mark.split('=')[1] ?? '']);
    blocks.push({ language, marks: new Map(marks), text: `${text.join('\n')}\n`, line: start + 1 });
  }
  return blocks;
}

/** The programs of a page. A `text` block right behind one is what it prints (`text stderr`: to stderr); so are its `// →` comments. */
export function programsOf(markdown: string): Program[] {
  const blocks = blocksOf(markdown);
  const files = new Map<string, Block>();
  const programs: Program[] = [];
  blocks.forEach((block, index) => {
    if (block.language !== 'ts') return;
    const name = block.marks.get('file');
    if (name !== undefined) {
      files.set(name, block);
      return;
    }
    let stdout: string | undefined;
    let stderr: string | undefined;
    for (let next = blocks[++index]; next?.language === 'text'; next = blocks[++index]) {
      if (next.marks.has('stderr')) stderr = next.text;
      else stdout = next.text;
    }
    const comments = [...block.text.matchAll(/\/\/ → (.*)$/gm)].map((match) => match[1]);
    if (stdout === undefined && comments.length > 0) stdout = `${comments.join('\n')}\n`;
    programs.push({
      text: block.text,
      line: block.line,
      isRun: !block.marks.has('no-run'),
      files: new Map(files),
      stdout,
      stderr,
      exitCode: Number(block.marks.get('exit') ?? 0),
      leavesFailure: block.marks.has('unseen'),
    });
  });
  return programs;
}

/** Whether a text is as a page says. `…` stands for anything within a line, a line of it alone for any lines. */
export function fits(text: string, promised: string): boolean {
  const pattern = promised
    .trim()
    .split('\n')
    .map((line) => {
      if (line.trim() === '…') return '(?:[^\\n]*\\n)*?[^\\n]*';
      return line
        .trimEnd()
        .split('…')
        .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        .join('[^\\n]*?');
    })
    .join(' *\\n');
  return new RegExp(`^${pattern}$`).test(text.trim());
}

/** The targets of a page's links that are not addresses on the web. */
export function linksOf(markdown: string): string[] {
  const text = markdown.replaceAll(/^( *)(`{3,})[\s\S]*?^ *\2$/gm, '').replaceAll(/`[^`\n]*`/g, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors of a page's headings, as the usual viewers of Markdown make them. */
export function anchorsOf(markdown: string): Set<string> {
  const text = markdown.replaceAll(/^( *)(`{3,})[\s\S]*?^ *\2$/gm, '');
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map((match) => match[1] ?? '');
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );
}

/** The rows of the first table under a heading, cell by cell, without its head. Backquotes and links are taken off the first cell. */
export function tableUnder(markdown: string, heading: string): string[][] {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  if (start < 0) throw new Error(`There is no heading '${heading}'.`);
  const rows: string[][] = [];
  for (const line of lines.slice(start + 1)) {
    if (/^#+ /.test(line)) break;
    if (line.startsWith('|')) rows.push(cellsOf(line));
    else if (rows.length > 0) break;
  }
  return rows.slice(2);
}

function cellsOf(row: string): string[] {
  return row
    .trim()
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.replaceAll('\\|', '|').trim());
}
