let offsetMs = performance.timeOrigin; // exact to the microsecond, unlike Date.now()
let checkedAt = 0;

/** Milliseconds on the monotonic clock: for deadlines and durations. */
export function nowMs(): number {
  return performance.now();
}

/**
 * Microseconds since the epoch: for stamps that other machines read. Follows the system clock, but moves smoothly
 * between corrections of more than 2 ms.
 */
export function nowUs(): number {
  const monotonic = performance.now();
  if (monotonic - checkedAt > 1_000) {
    checkedAt = monotonic;
    const measured = Date.now() - monotonic;
    if (Math.abs(measured - offsetMs) > 2) offsetMs = measured;
  }
  return Math.floor((monotonic + offsetMs) * 1_000);
}
