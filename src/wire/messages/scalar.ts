// Numbers of numpy in envelopes. A program that computes a priority or a number of ranks with numpy sends a numpy scalar, and
// Parsl's own interchange, where numpy is installed, takes it. Here it becomes the number that it is. Used by plain.ts and task.ts.
import { isGlobal, type PickleValue, PyFloat, PyObject, PyTuple } from '../pickle.ts';

/** By the letter and the size that numpy names a type with. */
const readers: Readonly<Record<string, (view: DataView, isLittle: boolean) => PickleValue>> = {
  b1: (view) => view.getUint8(0) !== 0,
  i1: (view) => view.getInt8(0),
  u1: (view) => view.getUint8(0),
  i2: (view, isLittle) => view.getInt16(0, isLittle),
  u2: (view, isLittle) => view.getUint16(0, isLittle),
  i4: (view, isLittle) => view.getInt32(0, isLittle),
  u4: (view, isLittle) => view.getUint32(0, isLittle),
  i8: (view, isLittle) => view.getBigInt64(0, isLittle),
  u8: (view, isLittle) => view.getBigUint64(0, isLittle),
  f4: (view, isLittle) => new PyFloat(view.getFloat32(0, isLittle)),
  f8: (view, isLittle) => new PyFloat(view.getFloat64(0, isLittle)),
};

/**
 * The plain number or boolean that a pickled numpy scalar is: `numpy.int64(3)`, of numpy 1 and 2. `undefined` for everything
 * else, numpy's rarer numbers (float16, longdouble, complex) among them.
 *
 * @example
 * plainScalar(field(spec, 'priority')) // 3n
 */
export function plainScalar(value: PickleValue | undefined): PickleValue | undefined {
  const type = typeOf(value);
  if (type === undefined || !Object.hasOwn(readers, type.name)) return undefined;
  const { name, bytes, isLittle } = type;
  if (bytes.length !== Number(name.slice(1))) return undefined;
  return readers[name]?.(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), isLittle);
}

/** What to call a numpy scalar that is no plain number: by the letter and the size of its type. `undefined` for everything else. */
export function scalarName(value: PickleValue): string | undefined {
  const type = typeOf(value);
  return type && `number of numpy's type ${type.name.slice(0, 20)}`;
}

function typeOf(value: PickleValue | undefined): { name: string; bytes: Uint8Array; isLittle: boolean } | undefined {
  if (!(value instanceof PyObject) || !isScalar(value.callee)) return undefined;
  const [type, bytes] = value.args.items;
  if (!(type instanceof PyObject) || !isGlobal(type.callee, 'numpy', 'dtype')) return undefined;
  const [name] = type.args.items;
  const { state } = type;
  const order = state instanceof PyTuple ? state.items[1] : '|';
  return typeof name === 'string' && bytes instanceof Uint8Array ? { name, bytes, isLittle: order !== '>' } : undefined;
}

function isScalar(callee: PickleValue): boolean {
  return isGlobal(callee, 'numpy._core.multiarray', 'scalar') || isGlobal(callee, 'numpy.core.multiarray', 'scalar');
}
