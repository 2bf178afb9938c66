// Which kernel, and which join task, a call belongs to. Mostly the ambient one, that load() set; otherwise the scope that
// run.enter() or the body of a join app opened. AsyncLocalStorage slows every promise a little, so it is made only when a
// scope can outlive the call that opened it: for a kernel that is not ambient, or for a join body that is async.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Kernel } from './kernel.ts';
import type { Task } from './task.ts';

/** Where a call is made. */
export interface Scope {
  readonly kernel: Kernel;
  /** The join task whose body makes it. */
  readonly parent: Task | undefined;
}

let ambient: Scope | undefined;
let inner: Scope | undefined;
let storage: AsyncLocalStorage<Scope> | undefined;

/** The scope of a call made now, if there is one. */
export function currentScope(): Scope | undefined {
  return inner ?? storage?.getStore() ?? ambient;
}

/** The kernel that load() made ambient. */
export function ambientKernel(): Kernel | undefined {
  return ambient?.kernel;
}

export function setAmbient(kernel: Kernel | undefined): void {
  ambient = kernel === undefined ? undefined : { kernel, parent: undefined };
}

/** Calls `body` with `scope`, which holds until it returns, and, `outlives`, in everything asynchronous that it starts. */
export function withScope<Value>(scope: Scope, outlives: boolean, body: () => Value): Value {
  if (outlives) {
    storage ??= new AsyncLocalStorage();
    const before = inner;
    inner = undefined;
    try {
      return storage.run(scope, body);
    } finally {
      inner = before;
    }
  }
  const before = inner;
  inner = scope;
  try {
    return body();
  } finally {
    inner = before;
  }
}
