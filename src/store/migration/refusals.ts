/** What a store says that is one end of a migration. */
import { PerdureError } from "../../base/errors.ts";
import type { Mark, Marks } from "./port.ts";

/** Why nobody may own it, or write to it. */
export function refusalToWrite(path: string, { source, target }: Marks): PerdureError | undefined {
  return (source === undefined ? undefined : moved(path, source)) ?? refusalToRead(path, { target });
}

/** Why nobody may open it at all. */
export function refusalToRead(path: string, { target }: Pick<Marks, "target">): PerdureError | undefined {
  return target?.state === "under-way" ? incomplete(path, target) : undefined;
}

function moved(path: string, { state, place }: Mark): PerdureError {
  const message =
    state === "complete"
      ? `The store ${path} was moved to ${place}, and its processes go on there. Open that one. This one can still be read.`
      : `The store ${path} is being moved to ${place}, which is not complete. Run the same command again: perdure migrate --from ${path} --to ${place}. Or give it up, with --abandon, and go on here.`;
  return new PerdureError("STORE_MOVED", message, { details: { path, place, state } });
}

function incomplete(path: string, { place }: Mark): PerdureError {
  return new PerdureError(
    "STORE_INCOMPLETE",
    `The store ${path} does not hold yet what is to come from ${place}. Run the same command again: perdure migrate --from ${place} --to ${path}. It goes on where it was.`,
    { details: { path, place } },
  );
}
