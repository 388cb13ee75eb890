import { MeshError } from "@plexus/core";
import type { DeploymentSpec } from "./deployment-spec.ts";
import type { GroupSpec } from "./group.ts";

const PROVIDERS = ["openai-compatible", "anthropic", "google"];

/**
 * The one group `default` that environment variables describe: PLEXUS_LLM_MODEL, PLEXUS_LLM_API_KEY, PLEXUS_LLM_BASE_URL and
 * PLEXUS_LLM_PROVIDER (`openai-compatible`, `anthropic` or `google`). Throws `INVALID_CONTRACT` when they describe none.
 */
export function environmentGroups(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, GroupSpec> {
  const { PLEXUS_LLM_BASE_URL: baseUrl, PLEXUS_LLM_API_KEY: apiKey } = env;
  const { PLEXUS_LLM_MODEL: model, PLEXUS_LLM_PROVIDER: provider = "openai-compatible" } = env;
  if (!PROVIDERS.includes(provider)) {
    throw new MeshError(
      "INVALID_CONTRACT",
      `PLEXUS_LLM_PROVIDER is ${provider}; it can be ${PROVIDERS.join(", ")}.`,
    );
  }
  const complete = provider !== "openai-compatible" || baseUrl !== undefined;
  if (model === undefined || !complete) {
    throw new MeshError(
      "INVALID_CONTRACT",
      "No models: give openModels() groups, or set PLEXUS_LLM_MODEL and PLEXUS_LLM_BASE_URL (or PLEXUS_LLM_PROVIDER) and PLEXUS_LLM_API_KEY.",
    );
  }
  const deployment: DeploymentSpec = {
    model,
    provider: provider as NonNullable<DeploymentSpec["provider"]>,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(apiKey === undefined ? {} : { apiKey }),
  };
  return { default: { deployments: [deployment] } };
}
