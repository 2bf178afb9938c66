// Reads the fields of a failure that arrived, from a peer that may be of another version, or mad. Used by codes.ts.
import type { RemoteError } from '../../task/errors.ts';

/** Deeper causes are left out. */
const deepest = 64;
/** No honest list is longer; one with holes may pretend to any length. */
const longest = 10_000;

/** An object of unknown content. What is missing, or of a wrong type, is read as nothing: `''`, 0, `null`, `[]`. */
export class Details {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(data: unknown) {
    if (typeof data !== 'object' || data === null)
      throw new TypeError(`it is ${data === null ? 'null' : typeof data}.`);
    this.#fields = data as Record<string, unknown>;
  }

  text(key: string): string {
    const value = this.#read(key);
    return typeof value === 'string' ? value : '';
  }

  textOrNull(key: string): string | null {
    const value = this.#read(key);
    return typeof value === 'string' ? value : null;
  }

  number(key: string): number {
    return this.numberOrNull(key) ?? 0;
  }

  numberOrNull(key: string): number | null {
    const value = this.#read(key);
    return typeof value === 'number' ? value : null;
  }

  isTrue(key: string): boolean {
    return this.#read(key) === true;
  }

  texts(key: string): string[] {
    const value = this.#read(key);
    return isList(value) ? value.filter((text) => typeof text === 'string') : [];
  }

  oneOf<const Choice extends string>(key: string, choices: readonly Choice[], otherwise: Choice): Choice {
    return choices.find((choice) => choice === this.#read(key)) ?? otherwise;
  }

  part(key: string): Details {
    return new Details(this.#read(key) ?? {});
  }

  remote(key: string): RemoteError {
    return remoteOf(this.#read(key), 0);
  }

  cause(key: string): RemoteError | { readonly value: unknown } | undefined {
    return causeOf(this.#read(key), 0);
  }

  #read(key: string): unknown {
    return Object.hasOwn(this.#fields, key) ? this.#fields[key] : undefined;
  }
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value) && value.length <= longest;
}

function remoteOf(data: unknown, depth: number): RemoteError {
  if (typeof data !== 'object' || data === null) return { name: 'Error', message: String(data), stack: '' };
  const { name, message, stack, code, fields, cause, errors } = data as Readonly<Record<string, unknown>>;
  const origin = causeOf(cause, depth + 1);
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : '',
    stack: typeof stack === 'string' ? stack : '',
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof fields === 'object' && fields !== null ? { fields: fields as Record<string, unknown> } : {}),
    ...(origin === undefined ? {} : { cause: origin }),
    ...(isList(errors) && depth < deepest ? { errors: errors.map((error) => remoteOf(error, depth + 1)) } : {}),
  };
}

function causeOf(data: unknown, depth: number): RemoteError | { readonly value: unknown } | undefined {
  if (typeof data !== 'object' || data === null || depth > deepest) return undefined;
  if ('message' in data) return remoteOf(data, depth);
  return 'value' in data ? { value: data.value } : undefined;
}
