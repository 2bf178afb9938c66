// The `context` of tasks: what interchange and pool are told of a task beside its buffer. Most tasks of a run share a few.
import { UnsupportedError } from '../../task/errors.ts';
import type { Attempt, Runtime } from '../../task/ports.ts';
import { dict, type PickleValue, PyFloat } from '../../wire/pickle.ts';
import { writePythonFacts } from '../../wire/python/facts.ts';
import { refusalOf } from './planning.ts';

const most = 100;

export class Contexts {
  readonly #made = new Map<string, PickleValue>();

  /**
   * The context of a try; the same object for tries that need the same.
   *
   * @param files the directory in which its arguments are kept, if they are
   * @param takesFiles a large result may be left in a file
   * @throws UnsupportedError for resources that htex() does not know
   */
  of({ body, resources, timeoutMs, watched }: Attempt, files: string | undefined, takesFiles: boolean): PickleValue {
    const runtime: Runtime = body.kind === 'python' ? 'python' : 'node';
    const priority = resources === undefined ? undefined : priorityOf(resources);
    // A Node function has the rest in its buffer.
    const key =
      runtime === 'node'
        ? `${priority} ${files ?? ''}`
        : `python ${priority} ${timeoutMs} ${watched} ${takesFiles} ${files ?? ''}`;
    let context = this.#made.get(key);
    if (context === undefined) {
      context = dict({
        runtime,
        ...(files === undefined ? {} : { chervil_files: files }),
        ...(priority === undefined ? {} : { resource_spec: dict({ priority: asPython(priority) }) }),
        ...(runtime === 'node' ? {} : writePythonFacts({ timeoutMs, isTold: watched, wantsOutput: true, takesFiles })),
      });
      if (this.#made.size >= most) this.#made.clear();
      this.#made.set(key, context);
    }
    return context;
  }
}

function priorityOf(resources: Readonly<Record<string, unknown>>): number | undefined {
  const refusal = refusalOf(resources);
  if (refusal !== undefined) throw new UnsupportedError(`${refusal}.`);
  return resources['priority'] as number | undefined;
}

function asPython(priority: number): PickleValue {
  return Number.isInteger(priority) ? priority : new PyFloat(priority);
}
