/** The words that OpenAPI descriptions of this API are made of. Used by `routes/` and `routes.ts`. */

type Schema = Readonly<Record<string, unknown>>;

export const text = { type: 'string' } as const;
export const whole = { type: 'integer', minimum: 0 } as const;
export const flag = { type: 'boolean' } as const;
export const time = { type: 'string', format: 'date-time' } as const;

export function orNull(schema: Schema): object {
  return { ...schema, type: [schema['type'], 'null'] };
}

export function list(items: object): Schema {
  return { type: 'array', items };
}

/** One of `SCHEMAS` in `routes.ts`. */
export function ref(name: string): object {
  return { $ref: `#/components/schemas/${name}` };
}

/** Every property of `properties` is always there, those of `more` sometimes. */
export function shape(
  properties: Readonly<Record<string, object>>,
  more: Readonly<Record<string, object>> = {},
): Schema {
  return { type: 'object', properties: { ...properties, ...more }, required: Object.keys(properties) };
}

/** An answer of 200. */
export function ok(schema: object): { readonly '200': object } {
  return { '200': json('Done.', schema) };
}

export function json(description: string, schema: object): object {
  return { description, content: { 'application/json': { schema } } };
}

export function problem(description: string): object {
  return { description, content: { 'application/problem+json': { schema: ref('Problem') } } };
}
