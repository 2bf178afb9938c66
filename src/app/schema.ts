// Values checked by a schema of the user's library: zod, valibot, arktype and others share this form, the Standard Schema. For apps
// whose types are told and not inferred.

/** A schema, as far as it is needed here. */
export interface StandardSchema<Value = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Value> | Promise<SchemaResult<Value>>;
    readonly types?: { readonly input: unknown; readonly output: Value } | undefined;
  };
}

/** What a schema says of a value. */
export type SchemaResult<Value> =
  | { readonly value: Value; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value, and where. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The type of the values that a schema lets pass. */
export type ValueOf<Schema> = Schema extends StandardSchema<infer Value> ? Value : never;

/** A value is not as its schema says. */
class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

/** What the schema makes of a value; throws, or rejects, with everything that is wrong with it. */
export function checked(schema: StandardSchema, value: unknown, what: string): unknown {
  const conclude = (result: SchemaResult<unknown>): unknown => {
    if (result.issues === undefined) return result.value;
    const list = result.issues.map(({ message, path = [] }) => {
      const place = path.map((part) => `.${String(typeof part === 'object' ? part.key : part)}`).join('');
      return place === '' ? message : `${place}: ${message}`;
    });
    throw new SchemaError(`${what} is not what its schema says: ${list.join('; ')}`);
  };
  const result = schema['~standard'].validate(value);
  return result instanceof Promise ? result.then(conclude) : conclude(result);
}
