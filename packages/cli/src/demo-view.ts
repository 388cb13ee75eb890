import { type Progress, Role, type RunPlan, sampleHeadlines } from "@plexus/trading";
import { clock, count, ms, table } from "./demo-format.ts";

/** Shows a run while it goes on. */
export interface DemoView {
  /** One line that stays. */
  say(line: string): void;
  /** How often `show` is worth calling. */
  readonly everyMs: number;
  show(progress: Progress): void;
  /** Removes what was shown for the moment only. */
  close(): void;
}

interface Sample {
  readonly at: number;
  readonly handled: Map<string, number>;
  readonly cpuMs: Map<string, number>;
  readonly signals: number;
}

const BAR_WIDTH = 40;

/** A live picture on a terminal, a line every two seconds elsewhere. */
export function demoView(out: NodeJS.WriteStream, plan: RunPlan): DemoView {
  return out.isTTY ? liveView(out, plan) : plainView(out, plan);
}

function plainView(out: NodeJS.WritableStream, plan: RunPlan): DemoView {
  const rates = new Rates();
  return {
    everyMs: 2_000,
    say: (line) => void out.write(`${line}\n`),
    show(progress) {
      rates.take(progress);
      if (progress.phase === "starting") return;
      out.write(`${clock(progress.elapsedMs)}  ${summaryLine(progress, plan, rates)}\n`);
    },
    close: () => undefined,
  };
}

function liveView(out: NodeJS.WriteStream, plan: RunPlan): DemoView {
  let lines = 0;
  const rates = new Rates();
  const erase = (): void => {
    if (lines > 0) out.write(`\u001B[${lines}A\u001B[0J`);
    lines = 0;
  };
  const draw = (rows: readonly string[]): void => {
    const width = Math.max(20, out.columns - 1);
    const height = Math.max(4, out.rows - 2);
    const shown = rows.slice(0, height).map((row) => row.slice(0, width));
    erase();
    out.write(`${shown.join("\n")}\n`);
    lines = shown.length;
  };
  return {
    everyMs: 250,
    say(line) {
      erase();
      out.write(`${line}\n`);
    },
    show(progress) {
      rates.take(progress);
      draw(picture(progress, plan, rates));
    },
    close: erase,
  };
}

/** The whole live picture. */
function picture(progress: Progress, plan: RunPlan, rates: Rates): string[] {
  const { seats, phase, bars, latency } = progress;
  if (phase === "starting") {
    const wanted = Object.values(plan.replicas).reduce((sum, replicas) => sum + replicas, 0);
    const ready = seats.filter((seat) => seat.phase === "ready").length;
    return [`starting processes: ${seats.length} of ${wanted} up, ${ready} ready`];
  }
  const share = Math.min(1, bars / plan.bars);
  const filled = Math.round(share * BAR_WIDTH);
  const rows = seats
    .toSorted((a, b) => Role.options.indexOf(a.role) - Role.options.indexOf(b.role))
    .map((seat) => [
      seat.seat,
      String(seat.pid),
      String(seat.life),
      count(rates.handled(seat.seat)),
      count(handledBy(seat)),
      String(seat.inflight),
      `${Math.round(rates.cpu(seat.seat))} %`,
    ]);
  const decision = latency["decision"];
  const booked = latency["booked"];
  return [
    "",
    `  [${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}] ${Math.floor(share * 100)} %  ${clock(progress.elapsedMs)}${phase === "finishing" ? "  collecting the books" : ""}`,
    `  ${summaryLine(progress, plan, rates)}`,
    `  bar due → decision  mean ${ms(decision?.mean ?? 0)}  p50 ${ms(decision?.p50 ?? 0)}  p99 ${ms(decision?.p99 ?? 0)} ms`,
    `  bar due → booked    mean ${ms(booked?.mean ?? 0)}  p50 ${ms(booked?.p50 ?? 0)}  p99 ${ms(booked?.p99 ?? 0)} ms`,
    `  news (hand-written sample): ${headline(share)}`,
    "",
    ...table([["process", "pid", "life", "messages/s", "messages", "in flight", "cpu"], ...rows]),
  ];
}

function summaryLine(progress: Progress, plan: RunPlan, rates: Rates): string {
  const { signals, decisions, orders, fills, rejected, latency } = progress;
  const decided = decisions.hold + decisions.buy + decisions.sell;
  return [
    `${count(signals)} of ${count(plan.bars)} signals`,
    `${count(rates.signals)}/s`,
    `${count(decided)} decisions`,
    `${count(orders)} orders`,
    `${count(fills)} fills`,
    `${count(rejected)} rejected`,
    `p99 ${ms(latency["decision"]?.p99 ?? 0)} ms`,
    ...modelWords(progress),
  ].join("  ");
}

/** Who reads and writes, if it is not just the word list and the template. */
function modelWords({ read, written, degraded }: Progress): string[] {
  const model = read.model + written.model;
  return model + degraded === 0 ? [] : [`model ${count(model)}, degraded ${count(degraded)}`];
}

/** Rates since a moment ago. */
class Rates {
  #samples: Sample[] = [];
  signals = 0;

  take({ seats, signals }: Progress): void {
    const at = performance.now();
    this.#samples.push({
      at,
      signals,
      handled: new Map(seats.map((seat) => [seat.seat, handledBy(seat)])),
      cpuMs: new Map(seats.map((seat) => [seat.seat, seat.cpuMs])),
    });
    // Processes report every half second, so a shorter base would show steps.
    while ((this.#samples[1]?.at ?? Infinity) < at - 1_900) this.#samples.shift();
    this.signals = this.#perSecond((sample) => sample.signals);
  }

  handled(seat: string): number {
    return this.#perSecond(({ handled }) => handled.get(seat) ?? 0);
  }

  /** Percent of one core. */
  cpu(seat: string): number {
    return this.#perSecond(({ cpuMs }) => cpuMs.get(seat) ?? 0) / 10;
  }

  #perSecond(value: (sample: Sample) => number): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || first.at === last.at) return 0;
    return ((value(last) - value(first)) / (last.at - first.at)) * 1_000;
  }
}

function handledBy({ sent, received }: Progress["seats"][number]): number {
  const taken = total(received);
  return taken > 0 ? taken : total(sent);
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, value) => sum + value, 0);
}

function headline(share: number): string {
  const index = Math.min(sampleHeadlines.length - 1, Math.floor(share * sampleHeadlines.length));
  const { date, text } = sampleHeadlines[index] ?? { date: "", text: "" };
  return `${date.slice(0, 7)} ${text}`;
}
