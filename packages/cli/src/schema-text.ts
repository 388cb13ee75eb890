/** The part of JSON Schema that zod writes. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly additionalProperties?: Schema | boolean;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly format?: string;
  readonly $ref?: string;
}

/** A JSON Schema on one line, as TypeScript would write the type: `{ symbol: string, closes: number[] }`. */
export function schemaText(schema: unknown): string {
  if (typeof schema !== "object" || schema === null) return "any";
  const { const: constant, enum: values, type, format, $ref, ...rest } = schema as Schema;
  if (constant !== undefined) return JSON.stringify(constant);
  if (values) return values.map((value) => JSON.stringify(value)).join(" | ");
  const choices = rest.anyOf ?? rest.oneOf;
  if (choices) return choices.map(schemaText).join(" | ");
  if (rest.allOf) return rest.allOf.map(schemaText).join(" & ");
  if ($ref !== undefined) return $ref.split("/").at(-1)!;
  if (typeof type === "object") return type.join(" | ");
  if (type === "array") {
    if (rest.prefixItems) return `[${rest.prefixItems.map(schemaText).join(", ")}]`;
    const item = schemaText(rest.items);
    return /[ |&]/.test(item) && !item.startsWith("{") ? `(${item})[]` : `${item}[]`;
  }
  if (type === "object") return objectText(rest);
  return format ?? (typeof type === "string" ? type : "any");
}

function objectText({ properties, required, additionalProperties }: Schema): string {
  const fields = Object.entries(properties ?? {}).map(
    ([name, field]) => `${name}${required?.includes(name) ? "" : "?"}: ${schemaText(field)}`,
  );
  if (fields.length > 0) return `{ ${fields.join(", ")} }`;
  return typeof additionalProperties === "object"
    ? `{ [key]: ${schemaText(additionalProperties)} }`
    : "{}";
}
