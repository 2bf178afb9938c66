// The functions of an executor's tasks, each encoded once. Short ones go along with every call; longer ones are put into a file of the
// executor's directory, by their hash, before the first call with them, and every worker reads it once.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Body, FunctionSource, PythonFunction } from '../../task/ports.ts';
import { type CallTemplate, callTemplate } from '../../wire/calls.ts';
import { type PythonTemplate, pythonTemplate } from '../../wire/python/call.ts';

export class Functions {
  readonly #directory: string;
  readonly #templates = new Map<Body, CallTemplate>();
  readonly #python = new Map<Body, PythonTemplate>();
  readonly #wrappedPython = new Map<Body, PythonTemplate>();

  constructor(directory: string) {
    this.#directory = join(directory, 'functions');
  }

  /**
   * What all calls of an app begin with.
   *
   * @throws SerializationError, ClosureError and what else keeps a function from being sent
   */
  templateOf(body: Body): CallTemplate {
    const known = this.#templates.get(body);
    if (known !== undefined) return known;
    const sent = {
      app: body.name,
      kind: body.kind === 'bash' ? 'bash' : 'function',
      source: body.source as FunctionSource,
    } as const;
    let path = '';
    const template = callTemplate(sent, (hash) => {
      path = join(this.#directory, hash);
      return path;
    });
    if (template.stored !== undefined) {
      mkdirSync(this.#directory, { recursive: true });
      // Whole or not at all: a worker may look at any time.
      writeFileSync(`${path}.new`, template.stored);
      renameSync(`${path}.new`, path);
    }
    // The bytes are in the file now.
    const kept: CallTemplate = { head: template.head, stored: undefined };
    this.#templates.set(body, kept);
    return kept;
  }

  /**
   * What all calls of a Python app begin with.
   *
   * @param wrappers the same in every call that has some
   */
  pythonTemplateOf(body: Body, wrappers: readonly PythonFunction[] | undefined): PythonTemplate {
    const known = wrappers === undefined ? this.#python : this.#wrappedPython;
    let template = known.get(body);
    if (template === undefined) {
      template = pythonTemplate(body.source as PythonFunction, wrappers);
      known.set(body, template);
    }
    return template;
  }
}
