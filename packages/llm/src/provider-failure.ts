import {
  APICallError,
  EmptyResponseBodyError,
  InvalidPromptError,
  InvalidResponseDataError,
  JSONParseError,
  LoadAPIKeyError,
  NoContentGeneratedError,
  TypeValidationError,
  UnsupportedFunctionalityError,
} from "@ai-sdk/provider";
import { Failure, kindOfStatus, retryAfterMs } from "./failure.ts";

/** Whatever the AI SDK throws, as one of the ways in which a call can fail. */
export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (APICallError.isInstance(error)) return ofCall(error, text);
  if (LoadAPIKeyError.isInstance(error)) {
    return new Failure("auth", "there is no API key.", { cause: error });
  }
  if (InvalidPromptError.isInstance(error) || UnsupportedFunctionalityError.isInstance(error)) {
    return new Failure("request", text, { cause: error });
  }
  if (
    EmptyResponseBodyError.isInstance(error) ||
    InvalidResponseDataError.isInstance(error) ||
    JSONParseError.isInstance(error) ||
    NoContentGeneratedError.isInstance(error) ||
    TypeValidationError.isInstance(error)
  ) {
    return malformed(error);
  }
  if (!isBroken(error)) return malformed(error);
  return new Failure("network", `the connection broke (${rootOf(error)}).`, { cause: error });
}

function ofCall(error: APICallError, text: string): Failure {
  const { statusCode: status, responseHeaders, cause } = error;
  if (status === undefined) {
    return new Failure("network", `the connection broke (${rootOf(error)}).`, { cause: error });
  }
  if (status < 400) {
    // The status said that all was well, and then the body broke off, or was not what it should be.
    return isBroken(cause)
      ? new Failure("network", `the answer broke off (${rootOf(error)}).`, { cause: error })
      : malformed(error);
  }
  return new Failure(kindOfStatus(status), `HTTP ${status}: ${clip(text)}`, {
    cause: error,
    status,
    retryAfterMs: retryAfterMs(responseHeaders, Date.now()),
  });
}

function malformed(cause: unknown): Failure {
  return new Failure("malformed", "the answer is not what this provider's API answers.", { cause });
}

/** What fetch and its streams throw when the connection breaks: TypeError ("fetch failed", "terminated"), or a socket's error. */
function isBroken(error: unknown): boolean {
  for (let one = error; one instanceof Error; one = one.cause) {
    if (one instanceof TypeError || ("code" in one && typeof one.code === "string")) return true;
  }
  return false;
}

/** The first cause that says something, such as `ECONNRESET`. */
function rootOf(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause !== undefined) root = root.cause;
  if (!(root instanceof Error)) return String(root);
  return "code" in root ? String(root.code) : clip(root.message);
}

function clip(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`;
}
