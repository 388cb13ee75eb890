import { isMeshError } from "@plexus/core";
import { usd } from "./amount.ts";
import type { Answer } from "./answer.ts";
import type { Deployment } from "./deployment.ts";
import { Failure } from "./failure.ts";
import type { ModelPart } from "./model.ts";
import type { Bill } from "./till.ts";

/** A text as it comes: iterate over it once. Leaving the loop gives the call up. */
export class AnswerStream implements AsyncIterable<string> {
  /** All of it, once the loop is through; rejects with what the loop throws, or `CANCELED` if it was left. */
  readonly answer: Promise<Answer>;
  readonly #texts: AsyncGenerator<string>;

  constructor(
    parts: AsyncGenerator<{ part: ModelPart; deployment: Deployment }>,
    bill: Bill,
    ended: (outcome: string) => void,
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    promise.catch(() => undefined); // whoever iterates is told anyhow
    this.answer = promise;
    this.#texts = read(parts, bill, { resolve, reject, ended });
  }

  [Symbol.asyncIterator](): AsyncIterator<string> {
    return this.#texts;
  }
}

async function* read(
  parts: AsyncGenerator<{ part: ModelPart; deployment: Deployment }>,
  bill: Bill,
  on: { resolve(answer: Answer): void; reject(error: unknown): void; ended(outcome: string): void },
): AsyncGenerator<string> {
  let outcome = "CANCELED";
  try {
    for await (const { part, deployment } of parts) {
      if (part.type === "text") yield part.text;
      else {
        const { text, toolCalls, finishReason } = part.reply;
        outcome = "ok";
        on.resolve({
          text,
          toolCalls,
          finishReason,
          model: deployment.id,
          usage: bill.usage,
          costUsd: usd(bill.nanoUsd),
          attempts: bill.attempts,
        });
      }
    }
  } catch (error) {
    const told = error instanceof Failure ? error.toMeshError("stream") : error;
    outcome = isMeshError(told) ? told.code : "AGENT_FAILED";
    on.reject(told);
    throw told;
  } finally {
    on.reject(new Failure("aborted", "nobody reads on.").toMeshError("stream")); // unless it has ended
    on.ended(outcome);
  }
}
