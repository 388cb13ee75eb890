import type { Models } from "@plexus/llm";
import type { Station } from "./station.ts";

/** The share of a deadline that one attempt may take, so that there is time for another one. */
const ATTEMPT = 2 / 3;
/** Nobody is billed more than this for a run, in tokens. */
const MAX_TOKENS = 400_000;
/** The longest answer, in tokens. */
const MAX_ANSWER = 300;

/** Whether the environment names a model, completely or not. */
export function namesModel(env: Readonly<Record<string, string | undefined>>): boolean {
  const { PLEXUS_LLM_BASE_URL, PLEXUS_LLM_PROVIDER, PLEXUS_LLM_MODEL } = env;
  return [PLEXUS_LLM_BASE_URL, PLEXUS_LLM_PROVIDER, PLEXUS_LLM_MODEL].some(Boolean);
}

/**
 * The model that the environment names (PLEXUS_LLM_BASE_URL and the like), shared with the other processes of the run:
 * breaker, budget and cache. Undefined: it names none, and whoever asks goes on in its degraded mode.
 *
 * @param withinMs how long a whole call will take at most
 */
export async function openDeskModels(
  { mesh }: Station,
  withinMs: number,
): Promise<Models | undefined> {
  if (!namesModel(process.env)) return undefined;
  const { environmentGroups, openModels } = await import("@plexus/llm");
  const groups = Object.entries(environmentGroups(process.env)).map(([name, group]) => {
    const deployments = group.deployments.map((one) => ({
      ...one,
      timeout: Math.ceil(withinMs * ATTEMPT),
      // Calls are few, and a second without a model is twenty months of market time.
      breaker: { minimumCalls: 5, errorPercent: 70, reset: "1s" as const },
    }));
    return [name, { ...group, deployments, timeout: withinMs }] as const;
  });
  return openModels({
    fleet: mesh,
    groups: Object.fromEntries(groups),
    budgets: { mesh: { tokens: MAX_TOKENS } },
    maxTokens: MAX_ANSWER,
  });
}

/** Why a call of a model came to nothing, for the record: its error code. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error && "code" in error) return String(error.code);
  throw error;
}
