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
  if (!(value instanceof PyObject) || !isScalar(value.callee)) return undefined;
  const [type, bytes] = value.args.items;
  if (!(type instanceof PyObject) || !isGlobal(type.callee, 'numpy', 'dtype')) return undefined;
  const [name] = type.args.items;
  const { state } = type;
  const order = state instanceof PyTuple ? state.items[1] : '|';
  if (typeof name !== 'string' || !(bytes instanceof Uint8Array) || bytes.length !== Number(name.slice(1)))
    return undefined;
  const isLittle = order !== '>';
  return Object.hasOwn(readers, name)
    ? readers[name]?.(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), isLittle)
    : undefined;
}

function isScalar(callee: PickleValue): boolean {
  return isGlobal(callee, 'numpy._core.multiarray', 'scalar') || isGlobal(callee, 'numpy.core.multiarray', 'scalar');
}
