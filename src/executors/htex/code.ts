// The functions of an executor whose workers share no file system with this program: bundled, and sent ahead of the first task that needs
// them, as files of code that the interchange keeps. executor.ts has one of these when `bundle` is set.
import type { Body, FunctionSource } from '../../task/ports.ts';
import { type CallTemplate, callTemplate } from '../../wire/calls.ts';
import { codeReference } from '../../wire/code-names.ts';
import { type CodeFile, writeCodeFile } from '../../wire/messages/code.ts';
import { Bundler, type BundleSettings } from './bundle.ts';

/** What the calls of an app with these wrappers begin with, and the wrappers as they are sent. */
export interface CodeTemplate {
  readonly template: CallTemplate;
  readonly wrappers: readonly FunctionSource[];
}

const noWrappers: readonly FunctionSource[] = [];

export class CodeFunctions {
  readonly #bundler: Bundler;
  readonly #send: (frame: Uint8Array) => void;
  readonly #templates = new Map<Body, Map<readonly FunctionSource[], CodeTemplate>>();
  readonly #sent = new Map<string, CodeFile>();

  /** @param send to the interchange, before the tasks that are sent later */
  constructor(settings: BundleSettings, send: (frame: Uint8Array) => void) {
    this.#bundler = new Bundler(settings);
    this.#send = send;
  }

  /**
   * What all calls of an app begin with; what they need is sent.
   *
   * @throws SerializationError, ClosureError and what else keeps a function from being sent
   */
  templateOf(body: Body, wrappers: readonly FunctionSource[]): CodeTemplate {
    const around = wrappers.length === 0 ? noWrappers : wrappers;
    let known = this.#templates.get(body);
    if (known === undefined) {
      known = new Map();
      this.#templates.set(body, known);
    }
    let made = known.get(around);
    if (made === undefined) {
      made = this.#make(body, around);
      // Wrappers are a list of the configuration's; whoever makes a new one for each call gets no memory for it.
      if (known.size > mostKept) known.clear();
      known.set(around, made);
    }
    return made;
  }

  /** There is a new interchange, which has nothing. */
  sendAgain(): void {
    for (const file of this.#sent.values()) this.#send(writeCodeFile(file));
  }

  #make(body: Body, wrappers: readonly FunctionSource[]): CodeTemplate {
    const main = this.#bundler.bundled(body.source as FunctionSource, `the function of ${body.name}()`);
    const around = wrappers.map((wrapper) => this.#bundler.bundled(wrapper, `a wrapper of ${body.name}()`));
    const files = [main, ...around].flatMap((one) => one.files);
    const fn = { app: body.name, kind: body.kind === 'bash' ? 'bash' : 'function', source: main.source } as const;
    let own = '';
    const template = callTemplate(
      fn,
      (hash) => {
        own = hash;
        return codeReference([hash, ...new Set(files.map(({ name }) => name))]);
      },
      files.length > 0,
    );
    for (const file of files) this.#keep(file);
    if (template.stored !== undefined) this.#keep({ name: own, bytes: template.stored });
    return { template: { head: template.head, stored: undefined }, wrappers: around.map(({ source }) => source) };
  }

  #keep(file: CodeFile): void {
    if (this.#sent.has(file.name)) return;
    this.#sent.set(file.name, file);
    this.#send(writeCodeFile(file));
  }
}

const mostKept = 100;
