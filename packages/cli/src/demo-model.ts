import { namesModel } from "@plexus/trading";
import { UsageError } from "./exit-codes.ts";

/** The model that the environment names, in words. Throws a usage error for one that is named by half. */
export async function namedModel(): Promise<string | undefined> {
  if (!namesModel(process.env)) return undefined;
  const { environmentGroups } = await import("@plexus/llm");
  try {
    const [group] = Object.values(environmentGroups(process.env));
    const { model, provider, baseUrl } = group!.deployments[0]!;
    return `model ${model} at ${baseUrl ?? provider}`;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}
