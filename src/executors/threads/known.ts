// The functions that the pool has met, with a number for each, and how long their bodies took: by that the pool decides how many
// jobs of a function a thread may be given ahead.
import type { Body, FunctionSource } from '../../task/ports.ts';

export class KnownFunction {
  readonly index: number;
  readonly source: FunctionSource;
  readonly app: string;
  readonly kind: 'function' | 'bash';
  /** Of the slowest lately; `undefined`: never run. */
  #slowestMs: number | undefined;

  constructor(index: number, source: FunctionSource, { name, kind }: Body) {
    this.index = index;
    this.source = source;
    this.app = name;
    this.kind = kind === 'bash' ? 'bash' : 'function';
  }

  took(ms: number): void {
    // It forgets slowly: a first run that had to load and compile does not count for ever.
    this.#slowestMs = Math.max(ms, (this.#slowestMs ?? 0) * 0.8);
  }

  /** How many jobs of it a thread may hold at once. */
  get ahead(): number {
    const slowestMs = this.#slowestMs;
    if (slowestMs === undefined || slowestMs > 5) return 1;
    if (slowestMs > 1) return 2;
    if (slowestMs > 0.2) return 16;
    return 128;
  }
}

export class KnownFunctions {
  readonly #byBody = new WeakMap<Body, KnownFunction>();
  /** An app that is made again and again, in a loop perhaps, is one function. */
  readonly #bySource = new Map<string, KnownFunction>();

  /** The function of a body. Throws a ClosureError when it cannot be sent. */
  get(body: Body): KnownFunction {
    const known = this.#byBody.get(body);
    if (known !== undefined) return known;
    const source = body.source as FunctionSource; // only join apps have none, and they do not come here
    const key = `${body.kind} ${body.name} ${source.by === 'value' ? source.key : `${source.module}#${source.export}`}`;
    let found = this.#bySource.get(key);
    if (found === undefined) {
      found = new KnownFunction(this.#bySource.size, source, body);
      this.#bySource.set(key, found);
    }
    this.#byBody.set(body, found);
    return found;
  }

  took(body: Body, ms: number): void {
    this.#byBody.get(body)?.took(ms);
  }
}
