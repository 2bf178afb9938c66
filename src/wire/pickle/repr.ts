// Shows values as Python's repr would, for messages to people. Bounded in depth and length, whatever the value.
import { type PickleValue, PyByteArray, PyFloat, PyFrozenSet, PyGlobal, PyObject, PySet, PyTuple } from './values.ts';

const deepest = 6;
const longest = 2_000;

/**
 * The value as Python shows it, cut at 2,000 characters; objects as `<module.Class object>`.
 *
 * @example
 * pythonRepr(new PyTuple([1, 'a', new PyFloat(2)])) // (1, 'a', 2.0)
 */
export function pythonRepr(value: PickleValue): string {
  const parts: string[] = [];
  show(value, 0, { parts, left: longest });
  const text = parts.join('');
  return text.length > longest ? `${text.slice(0, longest)}...` : text;
}

/** The value as Python's `str` shows it: a text stands for itself. */
export function pythonText(value: PickleValue): string {
  return typeof value === 'string' ? value : pythonRepr(value);
}

interface Output {
  readonly parts: string[];
  left: number;
}

function say(output: Output, text: string): void {
  output.parts.push(text);
  output.left -= text.length;
}

function show(value: PickleValue, depth: number, output: Output): void {
  if (output.left <= 0) return;
  if (depth > deepest) say(output, '...');
  else if (value === null) say(output, 'None');
  else if (typeof value === 'boolean') say(output, value ? 'True' : 'False');
  else if (typeof value === 'number') say(output, Number.isSafeInteger(value) ? String(value) : showFloat(value));
  else if (typeof value === 'bigint') say(output, value.toString(10));
  else if (typeof value === 'string') say(output, showText(value));
  else if (value instanceof Uint8Array) say(output, showBytes(value));
  else if (value instanceof PyFloat) say(output, showFloat(value.value));
  else if (value instanceof PyByteArray) say(output, `bytearray(${showBytes(value.bytes)})`);
  else if (value instanceof PyGlobal) say(output, `<${value.module}.${value.name}>`);
  else if (value instanceof PyObject) {
    const { callee } = value;
    say(output, callee instanceof PyGlobal ? `<${callee.module}.${callee.name} object>` : '<object>');
  } else if (value instanceof PyTuple)
    showItems(value.items, '(', value.items.length === 1 ? ',)' : ')', depth, output);
  else if (Array.isArray(value)) showItems(value, '[', ']', depth, output);
  else if (value instanceof PySet)
    showItems(value.items, value.items.length > 0 ? '{' : 'set(', value.items.length > 0 ? '}' : ')', depth, output);
  else if (value instanceof PyFrozenSet) showItems(value.items, 'frozenset({', '})', depth, output);
  else showDict(value, depth, output);
}

function showItems(items: readonly PickleValue[], start: string, end: string, depth: number, output: Output): void {
  say(output, start);
  for (let index = 0; index < items.length && output.left > 0; index++) {
    if (index > 0) say(output, ', ');
    show(items[index]!, depth + 1, output);
  }
  say(output, end);
}

function showDict(value: ReadonlyMap<PickleValue, PickleValue>, depth: number, output: Output): void {
  say(output, '{');
  let separator = '';
  for (const [key, item] of value) {
    if (output.left <= 0) break;
    say(output, separator);
    show(key, depth + 1, output);
    say(output, ': ');
    show(item, depth + 1, output);
    separator = ', ';
  }
  say(output, '}');
}

function showFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return 1 / value > 0 ? '0.0' : '-0.0';
  const [mantissa = '', power = ''] = value.toExponential().split('e');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16)
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  const plain = value.toFixed(Math.max(1, mantissa.replace(/[-.]/g, '').length - 1 - exponent));
  return plain.replace(/(\.\d+?)0+$/, '$1');
}

const named: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function showText(value: string): string {
  const text = value.slice(0, longest);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const shown = text.replace(/[\\\n\r\t]|[\p{Cc}\p{Cs}]/gu, (character) => {
    const code = character.codePointAt(0)!;
    return (
      named[character] ??
      (code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`)
    );
  });
  return quote + (quote === "'" ? shown.replaceAll("'", "\\'") : shown) + quote;
}

function showBytes(value: Uint8Array): string {
  return `b${showText(Buffer.from(value.subarray(0, longest)).toString('latin1')).replace(/[\x80-\xff]/g, (character) => `\\x${character.charCodeAt(0).toString(16)}`)}`;
}
