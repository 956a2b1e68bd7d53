/** Reading gzip files of lines. */
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { StringDecoder } from "node:string_decoder";
import { constants, createGunzip } from "node:zlib";

/**
 * The lines of a gzip file of any number of members, without their ends. If the file is cut off, what can be read comes before the error.
 * No line may be longer than a string can be.
 */
export async function* gunzippedLines(source: Readable): AsyncGenerator<string> {
  // One reads as far as there is anything to read; the other minds whether that was all.
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  const strict = finished(source.pipe(createGunzip()).resume());
  strict.catch(() => undefined);
  source.on("error", (error) => gunzip.destroy(error));
  const decoder = new StringDecoder("utf8");
  let rest = "";
  try {
    for await (const chunk of source.pipe(gunzip)) {
      const [first = "", ...more] = decoder.write(chunk as Buffer).split("\n");
      rest += first;
      for (const next of more) {
        yield rest;
        rest = next;
      }
    }
    if (rest !== "") yield rest;
    await strict;
  } finally {
    source.destroy();
  }
}
