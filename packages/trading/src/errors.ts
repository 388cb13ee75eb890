export type TradingErrorCode =
  /** A data file or data row is not what its parser was written for. */
  | "BAD_DATA"
  /** An amount left the range in which JavaScript integers are exact. */
  | "UNSAFE_AMOUNT"
  /** A numbered message came before its predecessor where order decides the outcome. */
  | "OUT_OF_ORDER"
  /** A bounded buffer is full. */
  | "BUFFER_FULL"
  /** The processes of a run did not all come up, or not in time. */
  | "NOT_READY"
  /** A process of a run ended before the run did, and starting it again did not help. */
  | "PROCESS_DIED"
  /** A run has made no progress for too long. */
  | "STALLED";

/** Every error this domain raises. Match on `code`, never on the message. */
export class TradingError extends Error {
  override readonly name = "TradingError";
  readonly code: TradingErrorCode;

  constructor(code: TradingErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
