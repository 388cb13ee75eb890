import type { Subscription } from "@plexus/mesh";
import { ApprovalRequests, Approvals } from "../desk-topics.ts";
import type { Approval, ApprovalRequest } from "../large-order.ts";
import type { Station } from "./station.ts";

/** Asks humans, and hears what they say, of orders that another process had asked for as well. */
export class ApprovalDesk implements AsyncDisposable {
  readonly #station: Station;
  readonly #said = new Map<string, Approval>();
  readonly #waiting = new Map<string, (approval: Approval) => void>();
  #hearing: Promise<Subscription> | undefined;

  constructor(station: Station) {
    this.#station = station;
  }

  /** Resolves with the first word about the order; rejects with the signal's reason. */
  async ask(request: ApprovalRequest, signal: AbortSignal): Promise<Approval> {
    const { mesh } = this.#station;
    this.#hearing ??= mesh.subscribe(Approvals, (approval) => this.#hear(approval), {
      from: "all",
    });
    await (
      await this.#hearing
    ).caughtUp;
    const { order } = request;
    const said = this.#said.get(order);
    if (said !== undefined) return said;
    const { promise, resolve, reject } = Promise.withResolvers<Approval>();
    const giveUp = (): void => reject(signal.reason);
    this.#waiting.set(order, resolve);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      signal.throwIfAborted();
      await mesh.publish(ApprovalRequests, request, { id: order });
      return await promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
      this.#waiting.delete(order);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#hearing)?.unsubscribe();
  }

  #hear(approval: Approval): void {
    const { order } = approval;
    if (this.#said.has(order)) return;
    this.#said.set(order, approval);
    this.#waiting.get(order)?.(approval);
  }
}
