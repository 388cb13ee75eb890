/**
 * Bars and signals that may wait in one process: half a minute at 8,000 a second. More than that and the mesh drops them,
 * which the report shows as lost.
 */
export const BACKLOG = 262_144;
