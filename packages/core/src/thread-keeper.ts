/** A command that somebody gives to a thread. */
export interface ThreadCall {
  readonly thread: string;
  /** Of the command: the same however often it is sent. */
  readonly id: string;
  /** Fires when nobody waits for the answer any more, or the thread is another process's. */
  readonly signal: AbortSignal;
  /** Fires when the thread is not this process's any more, also after the answer. */
  readonly owned: AbortSignal;
}

/** What executes the threads that a process owns. Which these are, and what is kept of them, is the mesh's part. */
export interface ThreadKeeper {
  /** Carries out the commands of the contract, by name. Whatever one of them begins goes on when its caller has gone. */
  readonly handlers: Readonly<
    Record<string, (input: unknown, call: ThreadCall) => Promise<unknown>>
  >;
  /**
   * Goes on with a thread that was `busy` when its last owner left it, or whose time has come. Resolves when it is at rest, however its run
   * has ended; rejects if it cannot go on.
   */
  resume(thread: string): Promise<void>;
  /**
   * Somebody else is to own these threads: begins nothing more in them, and lets who waits for them fail for this reason, which makes
   * callers go there. Resolves when nothing is executed in them any more.
   */
  leave(threads: readonly string[], reason: Error): Promise<void>;
}
