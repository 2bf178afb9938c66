// Calls as they go to the interchange: writes what a pool is told of a try, as bytes and a context. Owns the functions that were
// encoded already, and knows which call is being written while its large arguments go to files. executor.ts has one.
import type { Attempt } from '../../task/ports.ts';
import { type CallExtra, writeCall } from '../../wire/calls.ts';
import { writePythonCall } from '../../wire/python/call.ts';
import type { CodeFunctions } from './code.ts';
import { Contexts } from './contexts.ts';
import type { Functions } from './functions.ts';
import type { Links } from './links.ts';
import type { LargeValues } from './values.ts';

export class Calls {
  readonly #functions: Functions;
  /** Instead of `#functions` for TypeScript, where workers share no files with this program. */
  readonly #code: CodeFunctions | undefined;
  readonly #values: LargeValues | undefined;
  readonly #contexts = new Contexts();
  /** The task whose call is being written. */
  #sending = 0;

  constructor(functions: Functions, code: CodeFunctions | undefined, values: LargeValues | undefined) {
    this.#functions = functions;
    this.#code = code;
    this.#values = values;
  }

  /**
   * Sends a try as task `id`.
   *
   * @throws SerializationError, ClosureError and what else keeps a function or an argument from being sent
   */
  send(id: number, attempt: Attempt, links: Links): void {
    const values = links.takesFiles ? this.#values : undefined;
    this.#sending = id;
    const call = this.#bufferOf(attempt, values !== undefined);
    const files = values?.has(id) === true ? values.directory : undefined;
    links.send(id, this.#contexts.of(attempt, files, values !== undefined), call);
  }

  /** There is a new interchange, which has no code: it gets what the old one had. */
  sendCodeAgain(): void {
    this.#code?.sendAgain();
  }

  #bufferOf(attempt: Attempt, takesFiles: boolean): Buffer {
    const { body, files, resources, taskId, tryNumber } = attempt;
    if (body.kind === 'python') {
      const template = this.#functions.pythonTemplateOf(body, attempt.pythonWrappers);
      const task = { id: taskId, try: tryNumber, app: body.name };
      return writePythonCall(template, attempt.args, task, takesFiles ? this.#keepLarge : undefined);
    }
    const { template, wrappers } = this.#code?.templateOf(body, attempt.wrappers) ?? {
      template: this.#functions.templateOf(body),
      wrappers: attempt.wrappers,
    };
    const extra: CallExtra | undefined =
      files === undefined && wrappers.length === 0 && resources === undefined
        ? undefined
        : { files, wrappers, resources };
    const { timeoutMs, watched } = attempt;
    return writeCall(
      template,
      { taskId, tryNumber, timeoutMs, isTold: watched, wantsOutput: true, takesFiles },
      attempt.args,
      extra,
      body.name,
      takesFiles ? this.#writeLarge : undefined,
    );
  }

  readonly #writeLarge = (args: readonly unknown[], path: string): Uint8Array =>
    (this.#values as LargeValues).write(this.#sending, args, path);

  readonly #keepLarge = (pieces: readonly Uint8Array[]): Uint8Array | undefined =>
    (this.#values as LargeValues).keep(this.#sending, pieces);
}
