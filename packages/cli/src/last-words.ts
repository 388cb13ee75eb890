const MAX_LINES = 1_000; // of one life; a process that writes more is not waiting to be compared

/**
 * What a process says on stderr from life to life. As long as a life repeats, line by line, what the last one said before it
 * crashed, its lines are held back: if it ends the same way, there is nothing new to read.
 */
export class LastWords {
  #before: readonly string[] = [];
  #now: string[] = [];
  #held: string[] = [];
  #repeats = false;

  /** A new life. */
  begin(): void {
    this.#now = [];
    this.#repeats = this.#before.length > 0;
  }

  /** True while lines are held back. */
  get holding(): boolean {
    return this.#held.length > 0;
  }

  /** Takes a line; returns what is to be shown now. */
  say(line: string): string[] {
    if (this.#now.length < MAX_LINES) this.#now.push(line);
    else this.#repeats = false;
    this.#repeats &&= this.#before[this.#now.length - 1] === line;
    this.#held.push(line);
    return this.#repeats ? [] : this.release();
  }

  /** Returns what is held back, to be shown after all. */
  release(): string[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }

  /** It has crashed. Returns true, and forgets what it held back, if it said the same as the last time. */
  crash(): boolean {
    const same = this.#repeats && this.#now.length === this.#before.length;
    this.#before = this.#now;
    if (same) this.#held = [];
    return same;
  }
}
