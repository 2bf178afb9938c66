// Which modules are being loaded in this thread: for whoever has to say what a task waits for whose body has not begun. A module may compute
// or wait at its top level without end, and the thread may then say nothing any more, so each is told of before it is loaded.
// functions.ts and values/decode.ts load; workers listen, and `inline` asks.

const loading = new Map<string, number>();
let listener: ((modules: readonly string[]) => void) | undefined;

/** Loads a module, noted meanwhile. */
export async function whileLoading<Found>(module: string, load: () => Promise<Found>): Promise<Found> {
  const done = noteLoading(module);
  try {
    return await load();
  } finally {
    done();
  }
}

/** Notes that a module is loaded from now on. @returns what is called when that is over */
export function noteLoading(module: string): () => void {
  const before = loading.get(module) ?? 0;
  loading.set(module, before + 1);
  if (before === 0) listener?.(modulesLoading());
  return () => {
    const count = loading.get(module) ?? 0;
    if (count > 1) {
      loading.set(module, count - 1);
      return;
    }
    loading.delete(module);
    listener?.(modulesLoading());
  };
}

/** The modules that are being loaded, in the order in which they were begun. */
export function modulesLoading(): readonly string[] {
  return [...loading.keys()];
}

/** From now on this is told what is being loaded, whenever that changes. */
export function onLoading(told: (modules: readonly string[]) => void): void {
  listener = told;
}
