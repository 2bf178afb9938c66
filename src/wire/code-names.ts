// Names by which code travels to pools that share no file system with the program. In a call: what the worker needs, the function's own
// file first. In a source: a module that is a file of code, or a module of this package, wherever that is installed.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isCodeName } from './messages/code.ts';

/** What a call has in place of a path when its function travels as code. */
const callMark = 'code:';
const moduleMark = 'chervil-code:';
const packageMark = 'chervil-package:';
/** The root of this package: its modules are in dist/, of which this file is one. */
const packageRoot = new URL('../../', import.meta.url);

/** Directory in which a pool keeps what it got, in the environment of its workers. */
export const codeVariable = 'CHERVIL_CODE';

/** What stands in a call: the names of all files that are needed, that of the function first. */
export function codeReference(names: readonly string[]): string {
  return callMark + names.join('+');
}

/** The names in such a reference; `undefined` for a path. */
export function codeNames(reference: string): readonly string[] | undefined {
  if (!reference.startsWith(callMark)) return undefined;
  const names = reference.slice(callMark.length).split('+');
  return names.every(isCodeName) ? names : undefined;
}

/** Where a file of code is, on this worker. */
export function codePath(name: string): string {
  return join(process.env[codeVariable] ?? '.', name);
}

/** The name of a module that is a file of code. */
export function codeModule(name: string): string {
  return moduleMark + name;
}

/** The name of a module of this package; `undefined` for others. */
export function packageModule(url: string): string | undefined {
  return url.startsWith(packageRoot.href) && !url.startsWith(`${packageRoot.href}node_modules/`)
    ? packageMark + url.slice(packageRoot.href.length)
    : undefined;
}

/** The URL of a module that goes by one of these names; any other name stays what it is. */
export function moduleUrl(name: string): string {
  if (name.startsWith(moduleMark)) return pathToFileURL(codePath(name.slice(moduleMark.length))).href;
  if (name.startsWith(packageMark)) return new URL(name.slice(packageMark.length), packageRoot).href;
  return name;
}
