/** Every book has at most one order under way, so this bounds what thousands of symbols can ask at once. */
export const EXECUTION = { concurrency: 4_096, queue: 16_384 } as const;
