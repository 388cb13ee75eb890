import type { Mesh, TappedMessage } from "@plexus/mesh";
import { toLine } from "./output.ts";

/** Which messages are shown; what is undefined admits all. */
export interface TailFilter {
  /** Of {@link localSubject}, with NATS' wildcards `*` and `>`; without a wildcard at its end it is a beginning. */
  readonly pattern?: string;
  readonly kind?: readonly string[];
  readonly agent?: string;
  readonly name?: string;
  readonly sender?: string;
  readonly match?: string;
}

/** A subject without the mesh's name: `rpc.analyst.score`, `evt.bars`, `ctl.<instance>`, answers `inbox.<client>`. */
export function localSubject(mesh: string, subject: string): string {
  const inbox = `_INBOX.${mesh}.`;
  if (subject.startsWith(inbox)) return `inbox.${subject.slice(inbox.length)}`;
  return subject.startsWith(`${mesh}.`) ? subject.slice(mesh.length + 1) : subject;
}

/** Makes the test that a message must pass. */
export function createFilter(
  mesh: Pick<Mesh, "mesh" | "agents">,
  filter: TailFilter,
): (message: TappedMessage) => boolean {
  const { pattern, kind, agent, name, sender, match } = filter;
  const expected = pattern?.split(".");
  return (message) =>
    (kind === undefined || kind.includes(message.kind)) &&
    (name === undefined || message.name === name) &&
    (sender === undefined || message.sender.startsWith(sender)) &&
    (expected === undefined || covers(expected, localSubject(mesh.mesh, message.subject))) &&
    (agent === undefined || concerns(mesh, agent, message)) &&
    (match === undefined || message.name.includes(match) || toPlain(message).includes(match));
}

function toPlain({ value }: TappedMessage): string {
  // oxlint-disable-next-line no-control-regex -- colours would split the text that is looked for
  return toLine(value).replaceAll(/\u001B\[\d+m/g, "");
}

function covers(expected: readonly string[], subject: string): boolean {
  const parts = subject.split(".");
  for (const [index, wanted] of expected.entries()) {
    if (wanted === ">") return parts.length > index;
    if (index >= parts.length || (wanted !== "*" && wanted !== parts[index])) return false;
  }
  return expected.at(-1) !== "*" || parts.length === expected.length;
}

/** Whether a message goes to the agent or comes from one of its processes. */
function concerns(
  mesh: Pick<Mesh, "mesh" | "agents">,
  agent: string,
  message: TappedMessage,
): boolean {
  const [space, first] = localSubject(mesh.mesh, message.subject).split(".");
  if (space === "rpc" && first === agent) return true;
  // A process's events carry its client id, of which its instances' ids are made: `<client>-<n>`.
  return mesh
    .agents(agent)
    .some(
      ({ instance }) =>
        instance === message.sender ||
        instance === message.recipient ||
        (space === "ctl" && instance === first) ||
        instance.replace(/-\d+$/, "") === message.sender,
    );
}
