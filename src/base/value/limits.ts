import { PerdureError } from "../errors.ts";

/** The longest text of one encoded value, in UTF-16 units. Bytes in buffers do not count. */
export const maxTextUnits: number = 1024 * 1024;

/** All buffers of one encoded value together. */
export const maxChunkBytes: number = 32 * 1024 * 1024;

export function textTooLarge(): PerdureError {
  return new PerdureError(
    "VALUE_TOO_LARGE",
    `A value of more than ${maxTextUnits} characters (1 MiB) of text cannot cross the sandbox's border. ` +
      "Pass large data as bytes (a Uint8Array or ArrayBuffer, up to 32 MiB together), or keep it outside and pass where it is.",
    { details: { limitUnits: maxTextUnits } },
  );
}

export function bytesTooLarge(sizeBytes: number): PerdureError {
  return new PerdureError(
    "VALUE_TOO_LARGE",
    `A value with ${sizeBytes} bytes in its buffers cannot cross the sandbox's border: the limit is ${maxChunkBytes} (32 MiB). ` +
      "Split it, or keep it outside (a file, an object store) and pass where it is.",
    { details: { sizeBytes, limitBytes: maxChunkBytes } },
  );
}

export function corrupt(why: string): PerdureError {
  return new PerdureError(
    "VALUE_CORRUPT",
    `An encoded value does not decode: ${why}. It was damaged, or was not written by Perdure.`,
  );
}
