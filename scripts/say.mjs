/** Progress goes to stderr: stdout belongs to the command that was asked for. */
export function say(line) {
  process.stderr.write(`setup: ${line}\n`);
}

/** A failure whose message is all that a person needs to see. */
export class Failure extends Error {}

export function seconds(sinceMs) {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}
