/** Processes that follow each other under one name, numbered from 1 without gaps: a key's servers, the roots of a program. */
import type { ProcessRow } from "../store/port.ts";

export interface Generation {
  readonly number: number;
  readonly row: ProcessRow;
}

/** The newest there is, found by halving: a chain may be long, and only its end matters. */
export async function newestGeneration(
  find: (number: number) => Promise<ProcessRow | undefined>,
): Promise<Generation | undefined> {
  let newest: Generation | undefined;
  let missing = 1;
  for (;;) {
    const row = await find(missing);
    if (row === undefined) break;
    newest = { number: missing, row };
    missing *= 2;
  }
  while (newest !== undefined && missing - newest.number > 1) {
    const middle = Math.floor((newest.number + missing) / 2);
    const row = await find(middle);
    if (row === undefined) missing = middle;
    else newest = { number: middle, row };
  }
  return newest;
}
