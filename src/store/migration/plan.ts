/** What two stores' marks allow: whether a migration begins, goes on, or is complete; and giving one up. */
import { PerdureError } from "../../base/errors.ts";
import { parts } from "./parts.ts";
import type { Mark, Marks, Mover } from "./port.ts";
import { refusalToRead, refusalToWrite } from "./refusals.ts";

export type Plan =
  | { readonly kind: "complete" }
  | { readonly kind: "go"; readonly source: Mark; readonly target: Mark; readonly resumes: boolean };

/** Throws ARGUMENT_INVALID, STORE_MOVED, STORE_INCOMPLETE. */
export async function planMigration(
  source: Mover,
  target: Mover,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
): Promise<Plan> {
  const [from, to] = [await source.marks(), await target.marks()];
  checkRoles(source, from, target, to);
  const [left, arrived] = [from.source, to.target];
  if (left !== undefined && arrived?.id === left.id) return await goOn(source, left, arrived);
  if (left !== undefined) return await beginAgain(source, left, target, arrived);
  const { store } = await source.account();
  if (arrived?.state === "under-way" && arrived.store !== store)
    throw refusalToRead(target.place, to) ?? notEmpty(target);
  if (arrived?.state !== "under-way") {
    if ((await target.account()).store === store) throw sameStore(source, target);
    await checkEmpty(target);
  }
  // What is there of one that was given up, or never got as far as the source, is of no use.
  return { kind: "go", ...marksOf(source, target, { id, store, atMs: nowMs }), resumes: false };
}

/** The source is none that is still being filled; the target none that was moved on. */
function checkRoles(source: Mover, from: Marks, target: Mover, to: Marks): void {
  const refused = refusalToRead(source.place, from) ?? refusalToWrite(target.place, { ...to, target: undefined });
  if (refused !== undefined) throw refused;
}

async function goOn(source: Mover, left: Mark, arrived: Mark): Promise<Plan> {
  if (arrived.state === "under-way") return { kind: "go", source: left, target: arrived, resumes: true };
  // A backup of the source may be from before the end.
  if (left.state !== "complete") await source.complete("source");
  return { kind: "complete" };
}

/** The source has begun to move, and the target does not know of it: it was emptied, or is another one. */
async function beginAgain(source: Mover, left: Mark, target: Mover, arrived: Mark | undefined): Promise<Plan> {
  if (left.state === "complete" || arrived !== undefined || left.place !== target.place)
    throw refusalToWrite(source.place, { source: left }) ?? notEmpty(target);
  await checkEmpty(target);
  return { kind: "go", ...marksOf(source, target, left), resumes: false };
}

function marksOf(
  source: Mover,
  target: Mover,
  { id, store, atMs }: Pick<Mark, "id" | "store" | "atMs">,
): { readonly source: Mark; readonly target: Mark } {
  const about = { id, store, atMs, state: "under-way", progress: "" } as const;
  return {
    source: { ...about, role: "source", place: target.place },
    target: { ...about, role: "target", place: source.place },
  };
}

async function checkEmpty(target: Mover): Promise<void> {
  for (const part of parts)
    if ((await target.dump(part, undefined, { rows: 1, bytes: 1 })).length > 0) throw notEmpty(target);
}

function notEmpty({ place }: Mover): PerdureError {
  return new PerdureError(
    "ARGUMENT_INVALID",
    `The store ${place} is not empty, and a store is moved to an empty one only. Nothing was changed. Name another file, database or schema.`,
    { details: { path: place } },
  );
}

function sameStore(source: Mover, target: Mover): PerdureError {
  return new PerdureError(
    "ARGUMENT_INVALID",
    `${source.place} and ${target.place} are the same store, or one is a copy of the other. Nothing was changed. Name an empty one.`,
    { details: { from: source.place, to: target.place } },
  );
}

/** Gives a migration up that is not complete: the target is emptied, and the source can be used again. False if there is none. */
export async function abandonMigration(source: Mover, target: Mover): Promise<boolean> {
  const { source: left } = await source.marks();
  const { target: arrived } = await target.marks();
  if (left === undefined && arrived?.state !== "under-way") return false;
  const isThis = left === undefined ? arrived?.store === (await source.account()).store : arrived?.id === left.id;
  const isGone = arrived === undefined && left?.state === "under-way" && left.place === target.place;
  if ((!isThis && !isGone) || arrived?.state === "complete")
    throw (
      refusalToWrite(source.place, { source: left }) ??
      refusalToRead(target.place, { target: arrived }) ??
      notEmpty(target)
    );
  // The target first: it must never be completed when the source goes on.
  if (arrived !== undefined) await target.withdraw("target");
  if (left !== undefined) await source.withdraw("source");
  return true;
}
