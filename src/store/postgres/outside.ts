/** Writes from outside the owner: they need no lease. Each is done once, however often the connection is lost meanwhile. */
import { randomInt } from "node:crypto";
import { PerdureError } from "../../base/errors.ts";
import { encodeInput } from "../../journal/encoding.ts";
import type { Input, Pid } from "../../journal/types.ts";
import { checksum } from "../checksum.ts";
import { number } from "../columns.ts";
import { processExported } from "../exports.ts";
import { checkKey } from "../key-conflict.ts";
import type { Asked, ProcessKey } from "../port.ts";
import { receipt } from "./commit.ts";
import { processNotFound } from "./errors.ts";
import { findExported } from "./exports.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import type { Hints } from "./hints.ts";
import { edgeChecksum } from "./parts/edges.ts";
import { countUp } from "./parts/pending.ts";
import { raised, readRefusal } from "./parts/raise.ts";
import { queries } from "./queries.ts";
import { readDeadLetter, readEdge } from "./rows.ts";
import { ServerError } from "./wire/errors.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";

export interface Outside {
  readonly line: Line;
  readonly hints: Hints;
  /** Told the number that a write of this handle has counted `change` up to. */
  readonly onOwn: (count: number) => void;
}

// It cannot exit before this is done.
const checkAlive = statement(
  `WITH held AS (SELECT key, state FROM ~.process WHERE key = $1 FOR SHARE)
   SELECT ${raised("exited", "$1", "0", "0", "count(*)")} FROM held WHERE state <> 'exited' HAVING count(*) = 0`,
  "int8",
);
const putInput = statement(
  "INSERT INTO ~.inbox (process, at_ms, crc, input) VALUES ($1, $2, $3, $4)",
  ...(["int8", "int8", "int8", "bytea"] as const),
);
const putAsked = statement(
  `WITH put AS (INSERT INTO ~.inbox (process, at_ms, crc, input) VALUES ($1, $2, $3, $4) RETURNING seq)
   INSERT INTO ~.edge (process, key, at_ms, digest, about, state, posted, crc)
   SELECT $1, $5, $2, $6, $7, $8, seq, $9 FROM put`,
  ...(["int8", "int8", "int8", "bytea", "text", "bytea", "text", "text", "int8"] as const),
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
    const body = encodeInput(input);
    const columns = [process, atMs, checksum(body, process, 0), body] as const;
    const put =
      asked === undefined
        ? step(putInput, ...columns)
        : step(
            putAsked,
            ...columns,
            asked.key,
            Buffer.from(asked.digest, "hex"),
            asked.about,
            asked.state,
            edgeChecksum({ ...asked, process }, undefined),
          );
    try {
      await writeOnce(outside, atMs, [countUp, step(checkAlive, process), put, outside.hints.notify()]);
      return true;
    } catch (error) {
      // Somebody asked the same at this moment.
      if (!isTaken(error, "edge_key")) throw await explained(line, error, pid);
    }
  }
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
  const sending: Step[] = [];
  if (to !== undefined) {
    const process = await findTarget(line, to);
    const body = encodeInput(readDeadLetter(row).input);
    sending.push(step(checkAlive, process), step(putInput, process, atMs, checksum(body, process, 0), body));
  }
  try {
    await writeOnce(outside, atMs, [countUp, ...sending, step(takeLetter, seq), hints.notify()]);
    return true;
  } catch (error) {
    if (error instanceof ServerError && readRefusal(error)?.kind === "letter") return false;
    throw await explained(line, error, to ?? "");
  }
}

/** The first step counts up `change`. */
async function writeOnce({ line, onOwn }: Outside, atMs: number, steps: readonly Step[]): Promise<void> {
  // A number that nobody has. Whoever finds it taken has been here before.
  const id = { incarnation: -randomInt(1, 2 ** 47), number: 1 };
  await line.retrying("post to", async () => {
    const session = await line.reader();
    const timeout = settings(session, line.options.statementTimeoutMs);
    try {
      const results = await session.transact([timeout, receipt(id, atMs), ...steps]);
      onOwn(number(results[2]?.rows[0] ?? {}, "count"));
    } catch (error) {
      if (!isTaken(error, "receipt_pkey")) throw error;
    }
  });
}

function isTaken(error: unknown, constraint: string): boolean {
  return error instanceof ServerError && error.sqlState === "23505" && error.constraint === constraint;
}

async function explained(line: Line, error: unknown, pid: Pid): Promise<unknown> {
  if (!(error instanceof ServerError) || readRefusal(error)?.kind !== "exited") return error;
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
