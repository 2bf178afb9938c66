// bashApp(): a function that gives a shell command, as an app.
import { readFile } from 'node:fs/promises';
import type { Task } from '../kernel/task.ts';
import type { Command } from '../task/command.ts';
import { File, Output } from '../task/file.ts';
import { type ComesFrom, comesFrom, derive, type Future, TaskFuture } from '../task/future.ts';
import { bodyOf, checkFunction, makeApp } from './app.ts';
import { submit } from './call.ts';
import type { AppFunction, BashApp, BashFuture, BashOptions, ParametersOf, Returning, StreamText } from './types.ts';

/**
 * Makes a bash app: the function runs where the task runs, gives a command as sh`…`, and the command runs under /bin/bash.
 * The task's value is 0; any other exit code fails it with BASH_EXIT. A parameter of type `Output` names a file that the
 * command makes: it must exist at the end, and `future.outputs` has it as a future.
 *
 * @example
 * const sort = bashApp((io: { from: File; to: Output }) => sh`sort -n ${io.from} > ${io.to}`);
 * const sorted = sort({ from: file('numbers.txt'), to: output('sorted.txt') });
 * await sorted.outputs.to;
 */
export function bashApp<Run extends AppFunction>(
  command: Run & Returning<Run, Command | string | Promise<Command | string>>,
  options: BashOptions<ParametersOf<Run>> = {},
): BashApp<ParametersOf<Run>> {
  checkFunction(command, 'bashApp');
  return makeApp<BashApp<ParametersOf<Run>>>(bodyOf('bash', command, options), options, (record, args) => {
    const { task } = submit(record, args);
    return new CommandFuture(task, args) as unknown as Future<unknown>;
  });
}

class CommandFuture extends TaskFuture<number> implements BashFuture<Record<string, Future<File>>> {
  readonly #task: Task;
  readonly #args: readonly unknown[];
  #outputs: Record<string, Future<File>> | undefined;

  static {
    // That of TaskFuture tells when somebody looks.
    Reflect.deleteProperty(CommandFuture.prototype, 'constructor');
  }

  constructor(task: Task, args: readonly unknown[]) {
    super(task);
    this.#task = task;
    this.#args = args.some((arg) => typeof arg === 'object') ? args : none;
  }

  get stdout(): StreamText {
    return new TaskText(this.#task, 'stdout');
  }

  get stderr(): StreamText {
    return new TaskText(this.#task, 'stderr');
  }

  /** One for each argument that is an Output, by position, and for each property of an argument that is one, by name. */
  get outputs(): Record<string, Future<File>> {
    if (this.#outputs !== undefined) return this.#outputs;
    const outputs: Record<string, Future<File>> = {};
    const add = (key: string, value: unknown): void => {
      if (value instanceof Output) outputs[key] = new TaskFuture<File>(derive(this.#task, () => new File(value.url)));
    };
    for (const [index, arg] of this.#args.entries()) {
      add(String(index), arg);
      if (typeof arg === 'object' && arg !== null && !(arg instanceof File))
        for (const [key, value] of Object.entries(arg)) add(key, value);
    }
    this.#outputs = outputs;
    return outputs;
  }
}

const none: readonly unknown[] = [];

/** What a command wrote to one of its streams. */
class TaskText implements StreamText, ComesFrom {
  readonly #task: Task;
  readonly #stream: 'stdout' | 'stderr';

  constructor(task: Task, stream: 'stdout' | 'stderr') {
    this.#task = task;
    this.#stream = stream;
  }

  get [comesFrom](): Task {
    return this.#task;
  }

  get path(): string | undefined {
    return this.#task.files?.[this.#stream]?.path;
  }

  then<Fulfilled = string, Rejected = never>(
    onFulfilled?: ((text: string) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((error: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.#read().then(onFulfilled, onRejected);
  }

  async #read(): Promise<string> {
    await new TaskFuture(this.#task);
    const { path } = this;
    // A remembered task ran nothing, so it wrote nothing.
    if (path === undefined || this.#task.state === 'memo_done') return '';
    return readFile(path, 'utf8');
  }
}
