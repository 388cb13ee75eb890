import type { ContenderName, Place } from "./contenders/contender.ts";
import { Remote } from "./remote.ts";
import type { Hop } from "./roles/hop.ts";
import type { Sink, Tally } from "./roles/sink.ts";
import type { Source } from "./roles/source.ts";

const topic = (crossing: number): string => `signals-${crossing}`;

/** A source, so many hops and a sink, each in a process of its own: hops + 1 broker crossings a message. */
export class Flow implements AsyncDisposable {
  readonly #processes = new AsyncDisposableStack();
  readonly #source = this.#processes.use(Remote.start<Source>("source"));
  readonly #sink = this.#processes.use(Remote.start<Sink>("sink"));

  static async open(contender: ContenderName, place: Place, hopCount: number): Promise<Flow> {
    const flow = new Flow();
    try {
      await flow.#connect(contender, place, hopCount);
      return flow;
    } catch (error) {
      await flow[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #connect(contender: ContenderName, place: Place, hopCount: number): Promise<void> {
    const hops = Array.from({ length: hopCount }, () =>
      this.#processes.use(Remote.start<Hop>("hop")),
    );
    await Promise.all([
      this.#sink.ask("listen", contender, place, topic(hopCount)),
      ...hops.map((hop, index) => hop.ask("listen", contender, place, topic(index))),
    ]);
    await Promise.all([
      this.#source.ask("connect", contender, place, topic(0)),
      ...hops.map((hop, index) => hop.ask("forward", topic(index + 1))),
    ]);
  }

  /** Floods it within the window of {@link Credits}; gives the rate at which messages come out, warmed up. */
  async saturate(seconds: number, warmUpSeconds: number): Promise<Tally & { perSecond: number }> {
    await this.#sink.ask("tally", await this.#source.ask("flood", warmUpSeconds));
    const flood = this.#source.ask("flood", seconds + 0.2);
    const [perSecond, sent] = await Promise.all([this.#sink.ask("rate", seconds), flood]);
    return { perSecond, ...(await this.#sink.ask("tally", sent)) };
  }

  /** Offers an open-loop load. */
  async offer(rate: number, seconds: number): Promise<Tally> {
    return this.#sink.ask("tally", await this.#source.ask("offer", rate, seconds));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.disposeAsync();
  }
}
