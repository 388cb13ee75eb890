import { sleep } from "../clock.ts";
import { type ContenderName, open, type Place } from "../contenders/contender.ts";
import { serve } from "../serve.ts";

/** What answering a call costs the replica. */
export interface Work {
  /** Computing keeps its CPU busy; waiting, as for a model's answer, leaves it free. */
  readonly kind: "echo" | "burn" | "wait";
  readonly ms: number;
}

/**
 * CPU time of this process: unlike the clock it stands still while another process has the core. (The CPU time of the
 * thread alone advances only in the kernel's ticks of up to 4 ms.)
 */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const workers: Record<Work["kind"], (ms: number) => () => void | Promise<void>> = {
  echo: () => () => undefined,
  burn: (ms) => () => {
    const end = cpuMs() + ms;
    while (cpuMs() < end);
  },
  wait: (ms) => () => sleep(ms),
};

const responder = {
  async respond(contender: ContenderName, place: Place, work: Work, concurrency: number) {
    const link = await open(contender, place);
    await link.respond({ work: workers[work.kind](work.ms), concurrency });
  },
};

export type Responder = typeof responder;
serve(responder);
