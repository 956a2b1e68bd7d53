/**
 * An encoded value, as it crosses the sandbox's border, lies in the journal and travels between threads.
 *
 * `text` is always well-formed Unicode and its first character tells how the rest reads; `chunks` holds the bytes of
 * the value's array buffers, in the order `text` refers to them.
 */
export interface Payload {
  readonly text: string;
  readonly chunks?: readonly Uint8Array[];
}
