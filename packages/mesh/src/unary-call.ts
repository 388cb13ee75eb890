import type { MeshError } from "@plexus/core";
import { Exchange } from "./exchange.ts";
import type { CallOptions, Route } from "./route.ts";

/** A request with one answer. */
class UnaryCall extends Exchange {
  protected readonly credit = 0;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: MeshError) => void;

  constructor(
    route: Route,
    input: unknown,
    options: CallOptions,
    resolve: (value: unknown) => void,
    reject: (error: MeshError) => void,
  ) {
    super(route, input, options);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  protected part(): void {
    // Heartbeats and stray chunks say nothing to a caller that waits for the whole answer.
  }

  protected succeed(value: unknown): void {
    this.#resolve(value);
  }

  protected fail(error: MeshError): void {
    this.#reject(error);
  }
}

const NO_OPTIONS: CallOptions = {};

/** Calls a capability and resolves with its validated answer, or rejects with a MeshError. */
export function callOnce(
  route: Route,
  input: unknown,
  options: CallOptions = NO_OPTIONS,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    new UnaryCall(route, input, options, resolve, reject).start(options.signal);
  });
}
