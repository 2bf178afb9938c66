// Reads the doc comments of source files: their examples, and the fields of option types with their defaults.
// test/docs.test.ts compares the guide with them.
import { readFileSync } from 'node:fs';

/** An `@example` of a doc comment. */
export interface DocExample {
  readonly text: string;
  /** Line on which it begins, from 1. */
  readonly line: number;
}

/** Every `@example` in a file. */
export function examplesIn(path: string): DocExample[] {
  const source = readFileSync(path, 'utf8');
  const examples: DocExample[] = [];
  for (const comment of source.matchAll(/\/\*\*[\s\S]*?\*\//g)) {
    const lines = comment[0]
      .split('\n')
      .map((line) => line.replace(/^\s*(?:\/\*\*|\*\/|\* ?)/, '').replace(/\s*\*\/$/, ''));
    const first = source.slice(0, comment.index).split('\n').length;
    for (const [index, line] of lines.entries()) {
      if (line.trim() !== '@example') continue;
      let end = lines.findIndex((other, at) => at > index && other.startsWith('@'));
      if (end < 0) end = lines.length;
      examples.push({
        text: lines
          .slice(index + 1, end)
          .join('\n')
          .trim(),
        line: first + index + 1,
      });
    }
  }
  return examples;
}

/** A field of an interface. */
export interface Field {
  readonly name: string;
  /** Its `@default`, or `undefined`. */
  readonly default: string | undefined;
}

/** The fields of an interface of a file, in order. */
export function fieldsOf(path: string, name: string): Field[] {
  const source = readFileSync(path, 'utf8');
  const start = new RegExp(`^export interface ${name}\\b[^{]*(?:\\n[^{]*)?\\{$`, 'm').exec(source);
  if (start === null) throw new Error(`${path} has no interface ${name}.`);
  const body = source.slice(start.index + start[0].length);
  const inside = body.slice(0, body.indexOf('\n}'));
  const fields: Field[] = [];
  for (const match of inside.matchAll(
    /(?:^ {2}(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\n(?: {2}\/\/.*\n)*)?^ {2}readonly (\w+)\??:/gm,
  )) {
    const given = /@default ([\s\S]*?)\s*(?:\*\/|\n\s*\* @)/.exec(match[1] ?? '');
    fields.push({ name: match[2] ?? '', default: given?.[1]?.trim() });
  }
  return fields;
}
