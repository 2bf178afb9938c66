// How a class says that its instances may travel, and as what. check, encode and decode ask here.

/**
 * The name of the static property by which a class offers a {@link Serializer}: `Symbol.for('chervil.serialize')`.
 * The symbol is registered, so that a library can offer a serializer without importing Chervil.
 */
export const serializer: unique symbol = Symbol.for('chervil.serialize') as never;

/**
 * Makes data of an instance, and an instance of data. The receiving side imports `module`, takes its export `export`
 * (the class) and calls `from` of the serializer that it finds there. The class must stand in a module of its own:
 * importing a program would run it once more.
 *
 * @example
 * export class Point {
 *   static readonly [serializer]: Serializer<Point, [number, number]> = {
 *     module: import.meta.url,
 *     export: 'Point',
 *     to: (point) => [point.x, point.y],
 *     from: ([x, y]) => new Point(x, y),
 *   };
 *   readonly x: number;
 *   readonly y: number;
 *   constructor(x: number, y: number) {
 *     this.x = x;
 *     this.y = y;
 *   }
 * }
 */
export interface Serializer<Instance, Data> {
  /** URL of the module that exports the class: `import.meta.url`. */
  readonly module: string;
  /** Name of that export. */
  readonly export: string;
  /** Data that can cross, without the instance itself in it. */
  to(instance: Instance): Data;
  /** The instance again. `data` is complete when it is called. */
  from(data: Data): Instance;
}

/** A serializer of which nothing is known but its shape. */
export type AnySerializer = Serializer<object, unknown>;

/** The class of an object: the constructor that its prototype names itself, or `undefined`. */
export function classOf(value: object): object | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || typeof prototype !== 'object' || !Object.hasOwn(prototype, 'constructor')) return undefined;
  const made: unknown = (prototype as { constructor: unknown }).constructor;
  return typeof made === 'function' ? made : undefined;
}

/**
 * The serializer that the class of this object offers itself; one that it inherits does not count, because `from`
 * would make an instance of the parent class.
 */
export function serializerOf(value: object): AnySerializer | undefined {
  const made = classOf(value);
  return made === undefined ? undefined : ownSerializer(made);
}

/** The serializer that stands on this class, if it has the right shape. */
export function ownSerializer(made: object): AnySerializer | undefined {
  if (!Object.hasOwn(made, serializer)) return undefined;
  const offered: unknown = (made as { [serializer]: unknown })[serializer];
  if (typeof offered !== 'object' || offered === null) return undefined;
  const { module, export: name, to, from } = offered as Partial<AnySerializer>;
  const isComplete =
    typeof module === 'string' && typeof name === 'string' && typeof to === 'function' && typeof from === 'function';
  return isComplete ? (offered as AnySerializer) : undefined;
}
