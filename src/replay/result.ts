/** What a replay finds. */

/** One thing that a recording expects and the model answered otherwise. */
export interface Difference {
  /** `rc`, `errno`, `out.view`, `events[0].flags` ... */
  readonly what: string;
  readonly expected: unknown;
  readonly got: unknown;
}

/** A row of a recording whose answer differs. */
export interface Mismatch {
  /** The recording's own number of the row, or `step N` (from 1) where it has none. */
  readonly row: string;
  readonly phase: string;
  readonly call: string;
  /** As the recording has them. */
  readonly args: unknown;
  readonly differences: readonly Difference[];
}

export interface ReplayResult {
  /** Rows without any difference. */
  readonly matched: number;
  /** Rows in all: every step of a recording is one. */
  readonly total: number;
  readonly mismatches: readonly Mismatch[];
}
