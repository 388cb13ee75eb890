import { readFileSync } from "node:fs";

/** Clock ticks of /proc/<pid>/stat: 100 a second on Linux, whatever the kernel's own rate. */
const TICKS_PER_SECOND = 100;

/** CPU time of a process, user and system (Linux). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before it may hold spaces
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
