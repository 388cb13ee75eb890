/** A nats-server configuration as data. Its file format takes JSON values. */
export type BrokerConfig = { [key: string]: unknown };

/** `b` over `a`, objects merged key by key, anything else replaced. */
export function mergeConfig(a: BrokerConfig, b: BrokerConfig): BrokerConfig {
  const merged = { ...a };
  for (const [key, value] of Object.entries(b)) {
    const old = merged[key];
    merged[key] = isObject(old) && isObject(value) ? mergeConfig(old, value) : value;
  }
  return merged;
}

/** The text of a configuration file: one `key: value` line for each entry. Undefined values are left out. */
export function renderConfig(config: BrokerConfig): string {
  return Object.entries(config)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
    .join("");
}

function isObject(value: unknown): value is BrokerConfig {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
