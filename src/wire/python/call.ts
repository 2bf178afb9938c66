// One try of a Python function as the bytes of a task's `buffer`, in Parsl's own form: any pool of Parsl's can run it, and needs
// nothing of Chervil for it. The submit side writes them; a pool of ours reads the beginning.
//
//   length LF C2 LF pickle of the function | length LF 02 LF pickle of the arguments, a tuple | length LF 02 LF pickle of a dict
//
// Where large values are kept in files, a reference (value-files.ts) may stand in the place of both parts behind the function. It begins
// with a byte that is no digit.
//
// A function of a module goes by its name. One that came as text goes as calls that compile and run the text, once for a worker:
// Parsl keeps functions that came with equal bytes.
import { createHash } from 'node:crypto';
import { keywordsOf } from '../../task/keywords.ts';
import type { PythonFunction } from '../../task/ports.ts';
import { dict, encode, encodePieces, type PickleValue, PyGlobal, PyObject, PyTuple } from '../pickle.ts';
import { isReference } from '../value-files.ts';
import { call, toPython } from './to-python.ts';

/** A Python function, written once for all its calls. */
export interface PythonTemplate {
  readonly name: string;
  /** The part of the buffer that is it. */
  readonly head: Buffer;
  /** It has wrappers, and wants the facts of the task before its arguments. */
  readonly isWrapped: boolean;
}

/** What wrappers are told of a task. */
export interface TaskFacts {
  readonly id: number;
  readonly try: number;
  readonly app: string;
}

/** @param wrappers functions that go around it, outermost first */
export function pythonTemplate(fn: PythonFunction, wrappers: readonly PythonFunction[] = []): PythonTemplate {
  const isWrapped = wrappers.length > 0;
  const value = isWrapped
    ? new PyObject(
        'call',
        functionValue(wrapping),
        new PyTuple([functionValue(fn), new PyTuple(wrappers.map(functionValue))]),
      )
    : functionValue(fn);
  return { name: fn.name, head: part('C2', encode(value)), isWrapped };
}

/** Runs where the task runs, whoever's pool that is. */
const wrapping: PythonFunction = {
  by: 'python',
  module: undefined,
  name: 'wrapped',
  code: `from functools import partial

def wrapped(body, wrappers):
    # No name of its own: an argument of the body may have any.
    def run(*args, **named):
        task, *args = args
        call = partial(body, *args, **named)
        for wrapper in reversed(wrappers):
            call = partial(wrapper, call, task)
        return call()
    return run
`,
};

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
 * @param task for the wrappers of a function that has some
 * @param keep puts the parts behind the function, in pieces, somewhere else, and gives what stands for them; `undefined` if they go along
 * @throws SerializationError for arguments that Python has no place for
 */
export function writePythonCall(
  template: PythonTemplate,
  args: readonly unknown[],
  task: TaskFacts,
  keep?: (pieces: readonly Uint8Array[]) => Uint8Array | undefined,
): Buffer {
  const named = keywordsOf(args.at(-1));
  const positional = named === undefined ? args : args.slice(0, -1);
  const what = `an argument of ${template.name}()`;
  const values = toPython([...positional], what) as PickleValue[];
  if (template.isWrapped) values.unshift(dict({ ...task }));
  const pieces = [
    ...partPieces('02', encodePieces(new PyTuple(values))),
    ...(named === undefined
      ? [noKeywords]
      : partPieces('02', encodePieces(toPython(new Map(named), `a keyword argument of ${template.name}()`)))),
  ];
  const kept = keep?.(pieces);
  return Buffer.concat(kept === undefined ? [template.head, ...pieces] : [template.head, kept]);
}

/** Where the function of a buffer of Parsl's form ends: digits, a line feed, as many bytes. */
export function functionEndOf(buffer: Uint8Array): number | undefined {
  let length = 0;
  for (let at = 0; at < Math.min(16, buffer.length); at++) {
    const byte = buffer[at] as number;
    if (byte === 0x0a && at > 0) return at + 1 + length <= buffer.length ? at + 1 + length : undefined;
    if (byte < 0x30 || byte > 0x39) return undefined;
    length = length * 10 + byte - 0x30;
  }
  return undefined;
}

/** What stands for the arguments of a call, if they are kept elsewhere. */
export function pythonReference(buffer: Uint8Array): Uint8Array | undefined {
  const end = functionEndOf(buffer);
  const rest = end === undefined ? undefined : buffer.subarray(end);
  return rest !== undefined && isReference(rest) ? rest : undefined;
}

/** A call with its arguments in it, for who cannot see where they are kept. */
export function withPythonArguments(buffer: Uint8Array, reference: Uint8Array, parts: Uint8Array): Buffer {
  return Buffer.concat([buffer.subarray(0, buffer.length - reference.length), parts]);
}

function part(serializer: string, pickle: Uint8Array): Buffer {
  return Buffer.concat(partPieces(serializer, [pickle]));
}

function partPieces(serializer: string, pieces: readonly Uint8Array[]): Uint8Array[] {
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, serializer.length + 1);
  return [Buffer.from(`${bytes}\n${serializer}\n`), ...pieces];
}
