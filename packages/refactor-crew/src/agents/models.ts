import type { Models } from "@plexus/llm";
import type { Mesh } from "@plexus/mesh";

/** How long a model may take for one answer, attempts and all. */
const WITHIN_MS = 60_000;
/** The share of it that one attempt may take, so that there is time for another one. */
const ATTEMPT = 2 / 3;
/** Nobody is billed more than this for a run, in tokens. */
const MAX_TOKENS = 2_000_000;
/** The longest answer, in tokens: several files. */
const MAX_ANSWER = 8_000;

/** Whether the environment names a model, completely or not. */
function namesModel(env: Readonly<Record<string, string | undefined>>): boolean {
  const { PLEXUS_LLM_BASE_URL, PLEXUS_LLM_PROVIDER, PLEXUS_LLM_MODEL } = env;
  return [PLEXUS_LLM_BASE_URL, PLEXUS_LLM_PROVIDER, PLEXUS_LLM_MODEL].some(Boolean);
}

/**
 * The model that the environment names (PLEXUS_LLM_BASE_URL and the like), with breaker, budget and cache shared by the run's
 * processes if there is a mesh. Undefined: it names none, and rules do all the work.
 */
export async function openCrewModels(mesh: Mesh | undefined): Promise<Models | undefined> {
  if (!namesModel(process.env)) return undefined;
  const { environmentGroups, openModels } = await import("@plexus/llm");
  const groups = Object.entries(environmentGroups(process.env)).map(([name, group]) => {
    const timeout = Math.ceil(WITHIN_MS * ATTEMPT);
    const deployments = group.deployments.map((one) => ({ ...one, timeout }));
    return [name, { ...group, deployments, timeout: WITHIN_MS }] as const;
  });
  return openModels({
    ...(mesh === undefined ? {} : { fleet: mesh }),
    groups: Object.fromEntries(groups),
    budgets: { mesh: { tokens: MAX_TOKENS } },
    maxTokens: MAX_ANSWER,
  });
}
