import { startModelServer, type ModelServer, type StubBehaviour } from "@plexus/testing";
import { lexiconScore, type Outcome, type Progress, type RunPlan } from "@plexus/trading";
import { clock } from "./demo-format.ts";

export interface LlmFaultsOptions {
  readonly plan: RunPlan;
  readonly progress: () => Progress;
  readonly say: (line: string) => void;
}

/** What the model has been through. */
export interface LlmTrial {
  /** Requests that the stub got, and how many of them it answered as asked. */
  readonly requests: number;
  readonly answered: number;
  /** From the end of the outage until a model's answer was published again, in ms; null if none was. */
  readonly recoveredMs: number | null;
}

const LATENCY = { p50: 20, p99: 120 };
const FAULT_RATE = 0.3;
/** A limit is rare, because it silences the whole fleet for a second. */
const FAULTS: readonly StubBehaviour[] = [
  ...Array.from({ length: 3 }, () => [
    { kind: "status", status: 500 } as const,
    { kind: "status", status: 503 } as const,
    { kind: "html" } as const,
    { kind: "invalidJson" } as const,
    { kind: "reset" } as const,
    { kind: "stall" } as const,
  ]).flat(),
  { kind: "status", status: 429, retryAfter: "1" },
];
/** The part of the run in which nothing is answered at all. */
const OUTAGE = { from: 0.4, to: 0.6 };
const TICK_MS = 20;

/**
 * A stub model server that fails three answers in ten while the desk runs, and all of them for a fifth of the run in its middle. It
 * scores headlines as the word list does and is called a stub wherever its output is shown. Disposing stops it.
 */
export class LlmFaults implements AsyncDisposable {
  readonly #server: ModelServer;
  #timer: NodeJS.Timeout | undefined;
  /** Microseconds since the epoch. */
  #outageEndedAt: number | undefined;
  #isOut = false;

  private constructor(server: ModelServer) {
    this.#server = server;
  }

  static async start(seed: number): Promise<LlmFaults> {
    const server = await startModelServer({ latency: LATENCY, seed });
    const faults = new LlmFaults(server);
    faults.#misbehave();
    return faults;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#server[Symbol.asyncDispose]();
  }

  /** What the agent processes need to find the stub. */
  get env(): Readonly<Record<string, string>> {
    return {
      PLEXUS_LLM_BASE_URL: this.#server.url,
      PLEXUS_LLM_MODEL: "stub-model",
      PLEXUS_LLM_API_KEY: "stub",
      PLEXUS_LLM_PROVIDER: "openai-compatible",
    };
  }

  get address(): string {
    return this.#server.url;
  }

  /** Begins and ends the outage by how far the run is. */
  follow({ plan, progress, say }: LlmFaultsOptions): void {
    const runMs = (plan.bars / plan.rate) * 1_000;
    this.#timer = setInterval(() => {
      const { phase, elapsedMs } = progress();
      if (phase === "starting") return;
      const share = elapsedMs / runMs;
      const isOut = share >= OUTAGE.from && share < OUTAGE.to && phase === "running";
      if (isOut === this.#isOut) return;
      this.#isOut = isOut;
      if (isOut) {
        this.#server.faults({ rate: 1, of: [{ kind: "status", status: 503 }, { kind: "reset" }] });
        say(`${clock(elapsedMs)}  the stub model is out: every request fails`);
      } else {
        this.#misbehave();
        this.#outageEndedAt = Date.now() * 1_000;
        say(`${clock(elapsedMs)}  the stub model is back: it fails 30 % of the time`);
      }
    }, TICK_MS);
  }

  /** The score of a run that has ended. */
  trial({ moods, notes }: Outcome): LlmTrial {
    const byModel = [...moods, ...notes].filter(({ event }) => event.mode === "model");
    const since = this.#outageEndedAt ?? Infinity;
    const next = Math.min(...byModel.map(({ at }) => (at >= since ? at : Infinity)));
    return {
      requests: this.#server.count,
      answered: this.#server.calls.filter(({ did }) => did === "reply").length,
      recoveredMs: next === Infinity ? null : (next - since) / 1_000,
    };
  }

  #misbehave(): void {
    this.#server.faults({ rate: FAULT_RATE, of: FAULTS });
    this.#server.always(({ messages, schema }) => {
      const asked = messages.at(-1)?.text ?? "";
      if (schema === undefined) return { kind: "reply", text: `[stub model] ${asked}` };
      return { kind: "reply", json: { scores: asked.split("\n").map(lexiconScore) } };
    });
  }
}
