export { defineMesh } from "./mesh-file.ts";
export type { AgentEntry, MeshDefinition } from "./mesh-file.ts";
