// What every kind of app does when it is called: finds the run, looks through the arguments, and makes a task of the call.

import type { AppRecord } from '../kernel/app-record.ts';
import { type Gathered, gather, withoutFutures } from '../kernel/arguments.ts';
import { currentScope, type Scope } from '../kernel/current.ts';
import type { Task } from '../kernel/task.ts';
import { NoRunError } from '../task/errors.ts';
import type { Output } from '../task/file.ts';
import { checkValue } from '../wire/values.ts';

/** A task, and the outputs among its arguments. */
export interface Submitted {
  readonly task: Task;
  readonly outputs: readonly (readonly [key: string, file: Output])[];
}

const noOutputs: Submitted['outputs'] = [];

/** Submits a call. Throws a UsageError when it cannot be one: nothing is loaded, or an argument cannot be sent. */
export function submit(record: AppRecord, args: readonly unknown[]): Submitted {
  const scope = currentScope() ?? noRun(record.name);
  const { kernel, parent } = scope;
  const gathered = gather(args, kernel.searchesDeep);
  if (record.body.kind !== 'join') {
    // Captured at the first call, here, so that what cannot be sent is refused where it was called.
    void record.body.source;
    if (!gathered.plainArgs) checkArguments(gathered, record.name);
  }
  const { inputs, outputs = noOutputs, dependencies } = gathered;
  const task = kernel.submit({
    record,
    args: gathered.args,
    plainArgs: gathered.plainArgs,
    dependencies,
    inputs,
    outputs: outputs.length === 0 ? undefined : outputs.map(([, file]) => file.path),
    parent,
  });
  return { task, outputs };
}

function checkArguments({ args, dependencies }: Gathered, app: string): void {
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    checkValue(dependencies === undefined ? arg : withoutFutures(arg, dependencies), `argument ${index} of ${app}()`);
  }
}

function noRun(app: string): Scope {
  throw new NoRunError(
    `${app}() was called, but nothing is loaded that could run it. Call \`await using run = await load()\` before; for a second run beside the first, \`run.enter(() => …)\`.`,
  );
}
