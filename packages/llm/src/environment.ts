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
  const given = (name: string): string | undefined => env[name] || undefined; // empty: not set
  const [model, baseUrl] = [given("PLEXUS_LLM_MODEL"), given("PLEXUS_LLM_BASE_URL")];
  const apiKey = given("PLEXUS_LLM_API_KEY");
  const provider = given("PLEXUS_LLM_PROVIDER") ?? "openai-compatible";
  if (!PROVIDERS.includes(provider)) {
    throw invalid(`PLEXUS_LLM_PROVIDER is ${provider}; it can be ${PROVIDERS.join(", ")}.`);
  }
  const needsUrl = provider === "openai-compatible" && baseUrl === undefined;
  if (model === undefined && baseUrl === undefined) {
    throw invalid(
      "No models: give openModels() groups, or set PLEXUS_LLM_MODEL, PLEXUS_LLM_BASE_URL (or PLEXUS_LLM_PROVIDER) and PLEXUS_LLM_API_KEY.",
    );
  }
  if (model === undefined)
    throw invalid("PLEXUS_LLM_MODEL is not set: which model is to be asked?");
  if (needsUrl) {
    throw invalid(
      "PLEXUS_LLM_BASE_URL is not set: where is the gateway? (Or set PLEXUS_LLM_PROVIDER to anthropic or google.)",
    );
  }
  if (baseUrl !== undefined && !/^https?:/.test(URL.parse(baseUrl)?.protocol ?? "")) {
    throw invalid(`PLEXUS_LLM_BASE_URL is ${baseUrl}; it must be an http or https URL.`);
  }
  const deployment: DeploymentSpec = {
    model,
    provider: provider as NonNullable<DeploymentSpec["provider"]>,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(apiKey === undefined ? {} : { apiKey }),
  };
  return { default: { deployments: [deployment] } };
}

function invalid(message: string): MeshError {
  return new MeshError("INVALID_CONTRACT", message);
}
