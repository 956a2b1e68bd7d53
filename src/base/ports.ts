/** Ports behind which all nondeterminism hides (kernel, journal and guest may use no other source). */

export interface Clock {
  /** Wall time, milliseconds since the Unix epoch. May jump, also backwards. */
  nowMs(): number;
  /** Calls `fn` once after at least `delayMs`. Returns a function that takes it back. */
  after(delayMs: number, fn: () => void): () => void;
}

export interface Random {
  /** Cryptographically strong bytes in production; seeded in the simulator. */
  bytes(length: number): Uint8Array;
}
