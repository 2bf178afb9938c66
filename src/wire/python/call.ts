// One try of a Python function as the bytes of a task's `buffer`, in Parsl's own form: any pool of Parsl's can run it, and needs
// nothing of Chervil for it. The submit side writes them; a pool of ours reads the beginning.
//
//   length LF C2 LF pickle of the function | length LF 02 LF pickle of the arguments, a tuple | length LF 02 LF pickle of a dict
//
// A function of a module goes by its name. One that came as text goes as calls that compile and run the text, once for a worker:
// Parsl keeps functions that came with equal bytes.
import { createHash } from 'node:crypto';
import { keywordsOf } from '../../task/keywords.ts';
import type { PythonFunction } from '../../task/ports.ts';
import { encode, type PickleValue, PyGlobal, PyTuple } from '../pickle.ts';
import { call, toPython } from './to-python.ts';

/** A Python function, written once for all its calls. */
export interface PythonTemplate {
  readonly name: string;
  /** The part of the buffer that is it. */
  readonly head: Buffer;
}

export function pythonTemplate(fn: PythonFunction): PythonTemplate {
  return { name: fn.name, head: part('C2', encode(functionValue(fn))) };
}

function functionValue({ module, name, code }: PythonFunction): PickleValue {
  if (module !== undefined) return new PyGlobal(module, name);
  const text = code as string;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8);
  const file = `<pythonApp ${name} ${hash}>`;
  const scope: PickleValue = new Map([['__name__', `pythonApp_${name}_${hash}`]]);
  const lines = call('builtins', 'str.splitlines', [text, true]);
  // For tracebacks: what stands in the lines of this file.
  const shown = call('operator', 'setitem', [
    new PyGlobal('linecache', 'cache'),
    file,
    new PyTuple([text.length, null, lines, file]),
  ]);
  const ran = call('builtins', 'exec', [call('builtins', 'compile', [text, file, 'exec']), scope]);
  // A list, so that all of it is done in this order; its last member is what is wanted.
  return call('operator', 'getitem', [call('operator', 'getitem', [[shown, ran, scope], 2]), name]);
}

const noKeywords = part('02', encode(new Map()));

/**
 * A call as bytes.
 *
 * @throws SerializationError for arguments that Python has no place for
 */
export function writePythonCall(template: PythonTemplate, args: readonly unknown[]): Buffer {
  const named = keywordsOf(args.at(-1));
  const positional = named === undefined ? args : args.slice(0, -1);
  const what = `an argument of ${template.name}()`;
  const values = toPython([...positional], what) as PickleValue[];
  const byName =
    named === undefined
      ? noKeywords
      : part('02', encode(toPython(new Map(named), `a keyword argument of ${template.name}()`)));
  return Buffer.concat([template.head, part('02', encode(new PyTuple(values))), byName]);
}

function part(serializer: string, pickle: Uint8Array): Buffer {
  const id = Buffer.from(`${serializer}\n`);
  return Buffer.concat([Buffer.from(`${id.length + pickle.length}\n`), id, pickle]);
}
