// How users teach memoization their own classes. Called by users through `memoHook`, asked by key-walk.ts.

/** What a hook answers with: any value that has a memo key itself, such as an array of the fields that count. */
export type MemoKeyPart = unknown;

// biome-ignore lint/suspicious/noExplicitAny: the parameters of a user's constructor are none of our business
type Class<Instance> = abstract new (...args: any[]) => Instance;
type Hook = (value: never) => MemoKeyPart;

const hooks = new Map<object, Hook>();

/**
 * Says what of a class's instances makes them equal for memoization. Holds for subclasses too, until they get a hook of
 * their own; instances of classes with different names never share a key, whatever the hook
 * answers.
 *
 * The hook is called each time a key is computed: it should be quick, and must answer the same for equal instances, in
 * every run. What it throws fails the task with a MemoKeyError, as its `cause`. A later hook for the same class replaces
 * the earlier; the function that `memoHook` returns takes this one back. Arrays and plain objects always count by their
 * elements: a hook for `Array` or `Object` is a TypeError.
 *
 * @example
 * class Matrix {
 *   readonly rows = 3;
 *   readonly data = new Float64Array(9);
 * }
 * memoHook(Matrix, (matrix) => [matrix.rows, matrix.data]);
 */
export function memoHook<Instance extends object>(
  type: Class<Instance>,
  hook: (value: Instance) => MemoKeyPart,
): () => void {
  if (typeof type !== 'function' || typeof type.prototype !== 'object' || type.prototype === null)
    throw new TypeError(
      'memoHook takes a class and a function: memoHook(Matrix, (matrix) => [matrix.rows, matrix.data]).',
    );
  const prototype: object = type.prototype;
  if (prototype === Object.prototype || prototype === Array.prototype)
    throw new TypeError(
      `memoHook cannot change how ${type.name} counts: arrays and plain objects go by their elements.`,
    );
  if (typeof hook !== 'function')
    throw new TypeError(`memoHook(${type.name}, …) needs a function as its second argument.`);
  hooks.set(prototype, hook as Hook);
  return () => {
    if (hooks.get(prototype) === hook) hooks.delete(prototype);
  };
}

/** The hook for a value with this prototype: its class's own, or the nearest one above. */
export function hookOf(prototype: object): ((value: object) => MemoKeyPart) | undefined {
  if (hooks.size === 0) return undefined;
  for (let above: object | null = prototype; above !== null; above = Object.getPrototypeOf(above)) {
    const hook = hooks.get(above);
    // The value has this prototype in its chain, so it is an instance of what the hook was registered for.
    if (hook !== undefined) return hook as (value: object) => MemoKeyPart;
  }
  return undefined;
}
