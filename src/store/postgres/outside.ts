/** Writes from outside the owner: they need no lease. Each is done once, however often the connection is lost meanwhile. */
import { randomInt } from "node:crypto";
import { PerdureError } from "../../base/errors.ts";
import type { Input, Pid } from "../../journal/types.ts";
import { number } from "../columns.ts";
import { processExported } from "../exports.ts";
import { checkKey } from "../key-conflict.ts";
import type { Asked, ProcessKey } from "../port.ts";
import { receipt } from "./commit.ts";
import { isUndone, maxUndone, processNotFound } from "./errors.ts";
import { findExported } from "./exports.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import type { Hints } from "./hints.ts";
import { checkNotMoved } from "./parts/moved.ts";
import { edgeChecksum } from "./parts/edges.ts";
import { posting } from "./parts/inbox.ts";
import { raised, readRefusal } from "./parts/raise.ts";
import { queries } from "./queries.ts";
import { readDeadLetter, readEdge } from "./rows.ts";
import { ServerError } from "./wire/errors.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";

export interface Outside {
  readonly line: Line;
  readonly hints: Hints;
}

// It cannot exit before this is done.
const checkAlive = statement(
  `WITH held AS (SELECT key, state FROM ~.process WHERE key = $1 FOR SHARE)
   SELECT ${raised("exited", "$1", "0", "0", "count(*)")} FROM held WHERE state <> 'exited' HAVING count(*) = 0`,
  "int8",
);
const putAsked = statement(
  "INSERT INTO ~.edge (process, key, at_ms, digest, about, state, crc) VALUES ($1, $2, $3, $4, $5, $6, $7)",
  ...(["int8", "text", "int8", "bytea", "text", "text", "int8"] as const),
);

/** False if it was asked before. */
export async function post(
  outside: Outside,
  pid: Pid,
  { input, atMs, asked }: { readonly input: Input; readonly atMs: number; readonly asked: Asked | undefined },
): Promise<boolean> {
  const { line } = outside;
  for (;;) {
    const process = await findTarget(line, pid);
    if (asked !== undefined) {
      const row = await line.get(queries.edge, process, asked.key);
      if (row !== undefined) {
        checkKey(pid, readEdge(row), asked);
        return false;
      }
    }
    const asking = asked === undefined ? [] : [askedOf(process, asked, atMs)];
    const put = posting(process, { input, atMs, key: asked?.key }, outside.hints.channel);
    try {
      await writeOnce(line, atMs, [step(checkAlive, process), ...asking, put]);
      return true;
    } catch (error) {
      // Somebody asked the same at this moment.
      if (isTaken(error, "edge_key")) continue;
      // Or a moment before, and the process has exited since: what counts is that it was asked.
      if (asked !== undefined && isExit(error) && (await line.get(queries.edge, process, asked.key)) !== undefined)
        continue;
      throw await explained(line, error, pid);
    }
  }
}

function askedOf(process: ProcessKey, asked: Asked, atMs: number): Step {
  const { key, digest, about, state } = asked;
  const crc = edgeChecksum({ ...asked, process }, undefined);
  return step(putAsked, process, key, atMs, Buffer.from(digest, "hex"), about, state, crc);
}

/** The key of a process that is there, or was. */
async function findTarget(line: Line, pid: Pid): Promise<ProcessKey> {
  const found = await line.get(queries.placeOf, pid);
  if (found?.["key"] !== null && found !== undefined) return number(found, "key");
  if (found?.["stone"] === 1) throw exited(pid);
  const exported = await findExported(line, pid);
  throw exported === undefined ? processNotFound(line.place.path, pid) : processExported(exported);
}

const takeLetter = statement(
  `WITH gone AS (DELETE FROM ~.dead_letter WHERE seq = $1 RETURNING seq)
   SELECT ${raised("letter", "0", "$1", "0", "count(*)")} FROM gone HAVING count(*) = 0`,
  "int8",
);

/** False if there is no letter of that seq. */
export async function takeDeadLetter(
  outside: Outside,
  seq: number,
  to: Pid | undefined,
  atMs: number,
): Promise<boolean> {
  const { line, hints } = outside;
  const row = await line.get(queries.deadLetter, seq);
  if (row === undefined) return false;
  const steps: Step[] = [step(takeLetter, seq)];
  if (to !== undefined) {
    const process = await findTarget(line, to);
    const { input } = readDeadLetter(row);
    steps.unshift(step(checkAlive, process));
    steps.push(posting(process, { input, atMs, key: undefined }, hints.channel));
  }
  try {
    await writeOnce(line, atMs, steps);
    return true;
  } catch (error) {
    if (error instanceof ServerError && readRefusal(error)?.kind === "letter") return false;
    throw await explained(line, error, to ?? "");
  }
}

/** Locks are taken in the order of `schema.ts`. Where that was not enough it is done again. */
export async function writeOnce(line: Line, atMs: number, steps: readonly Step[]): Promise<void> {
  // A number that nobody has. Whoever finds it taken has been here before.
  const id = { incarnation: -randomInt(1, 2 ** 47), number: 1 };
  for (let attempt = 1; ; attempt++) {
    try {
      await line.retrying("post to", async () => {
        const session = await line.reader();
        const timeout = settings(session, line.options.statementTimeoutMs);
        await session.transact([timeout, receipt(id, atMs), step(checkNotMoved), ...steps]);
      });
      return;
    } catch (error) {
      if (isTaken(error, "receipt_pkey")) return;
      if (!isUndone(error) || attempt === maxUndone) throw error;
    }
  }
}

function isTaken(error: unknown, constraint: string): boolean {
  return error instanceof ServerError && error.sqlState === "23505" && error.constraint === constraint;
}

function isExit(error: unknown): boolean {
  return error instanceof ServerError && readRefusal(error)?.kind === "exited";
}

async function explained(line: Line, error: unknown, pid: Pid): Promise<unknown> {
  if (!isExit(error)) return error;
  // It has exited, or left the store, at this moment.
  return await findTarget(line, pid).then(
    () => exited(pid),
    (why: unknown) => why,
  );
}

function exited(pid: Pid): PerdureError {
  return new PerdureError("PROCESS_EXITED", `Process ${pid} has exited and takes no more inputs. Start another one.`, {
    details: { pid },
  });
}
