// The table of docs/values.md as data, and its expressions as values. The suite uses it, and the bodies that make the same values
// where tasks run.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { file, output } from '../task/file.ts';
import { Point } from './point.ts';

/** One row: what crosses, or does not. */
export interface ValueRow {
  readonly what: string;
  /** An expression. */
  readonly example: string;
  readonly crosses: boolean;
  /** An expression of what arrives, `undefined` for the same; for what does not cross a part of the error. */
  readonly arrives: string | undefined;
}

/** The rows, or none where the documentation is not installed. */
export function valueRows(): readonly ValueRow[] {
  const url = new URL('../../docs/values.md', import.meta.url);
  if (!existsSync(url)) return [];
  return readFileSync(url, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| value |'))
    .map((line) => {
      const [what = '', example = '', crosses = '', arrives = ''] = line.slice(2, -2).split(' | ');
      const isCrossing = crosses.startsWith('yes');
      const same = arrives === '`the same`';
      return {
        what,
        example: bare(example),
        crosses: isCrossing,
        arrives: isCrossing ? (same ? undefined : bare(arrives)) : arrives,
      };
    });
}

function bare(cell: string): string {
  return cell.replace(/^`|`$/g, '');
}

/** The value of an expression in the table. */
export function madeOf(expression: string): unknown {
  const known = { file, output, Point, transferred, revoked, process, Buffer };
  return new Function(...Object.keys(known), `return (${expression});`)(...Object.values(known)) as unknown;
}

function transferred(): ArrayBuffer {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** Deep equality. Of errors neither the stack counts nor, for classes of one's own, the name. */
export function assertSame(actual: unknown, expected: unknown): void {
  if (!(expected instanceof Error)) {
    assert.deepEqual(actual, expected);
    return;
  }
  assert.ok(actual instanceof Error);
  assert.equal(Object.getPrototypeOf(actual), Object.getPrototypeOf(expected));
  assert.deepEqual({ ...actual }, { ...expected });
  const told = ({ message, cause, errors }: Partial<AggregateError>): unknown => ({ message, cause, errors });
  assert.deepEqual(told(actual), told(expected));
}
