/** Messages that made their processes fail and were set aside, as people and tools see them. */
import { PerdureError } from "../base/errors.ts";
import type { Payload } from "../base/value.ts";
import type { ExitReason, Pid, ProcessKey } from "../journal/types.ts";
import type { DeadLetterRow, StoreReader } from "../store/port.ts";

/** As it is in the store: values still encoded. */
export interface StoredLetter {
  readonly seq: number;
  readonly pid: Pid;
  readonly program: string;
  readonly from: Pid;
  readonly atMs: number;
  readonly body: Payload;
  readonly reason: ExitReason;
  readonly value: Payload;
}

export interface DeadLetterFilter {
  /** Only those of this process. */
  readonly pid?: Pid;
  /** Only those with a greater `seq`: the page after it. */
  readonly after?: number;
  /** At most this many, oldest first. Default 100. */
  readonly limit?: number;
}

export interface DeadLetter {
  /** Names it. Grows with time, and never comes twice in a store. */
  readonly seq: number;
  /** The process that failed. */
  readonly pid: Pid;
  /** Who sent it: a pid, "" for the outside world, `@…` for a caller outside. */
  readonly from: Pid;
  readonly atMs: number;
  readonly message: unknown;
  /** What it led to. */
  readonly reason: ExitReason;
  /** The error, or what else the process ended with. */
  readonly error: unknown;
}

const defaultLimit = 100;

export async function readDeadLetters(
  store: StoreReader,
  { pid, after = 0, limit = defaultLimit }: DeadLetterFilter = {},
): Promise<StoredLetter[]> {
  const only = pid === undefined ? undefined : await store.findProcess(pid);
  if (pid !== undefined && only === undefined) return [];
  const rows = await store.deadLetters(only?.key, after, limit);
  const owners = new Map<ProcessKey, Promise<Owner>>();
  return await Promise.all(
    rows.map(async (row) => {
      const owner = owners.get(row.process) ?? ownerOf(store, row);
      owners.set(row.process, owner);
      return stored(row, await owner);
    }),
  );
}

type Owner = Pick<StoredLetter, "pid" | "program">;

async function ownerOf(store: StoreReader, { process }: DeadLetterRow): Promise<Owner> {
  const row = await store.getProcess(process);
  return { pid: row?.pid ?? "", program: row?.program ?? "" };
}

function stored({ seq, input, atMs, reason, value }: DeadLetterRow, { pid, program }: Owner): StoredLetter {
  if (input.kind !== "message") throw new Error(`Dead letter ${seq} is no message but ${input.kind}.`);
  return { seq, pid, program, from: input.from, atMs, body: input.body, reason, value };
}

/** Throws DEAD_LETTER_NOT_FOUND. */
export async function findDeadLetter(store: StoreReader, seq: number): Promise<StoredLetter> {
  const [row] = await store.deadLetters(undefined, seq - 1, 1);
  if (row?.seq !== seq) throw noLetter(seq);
  return stored(row, await ownerOf(store, row));
}

export function noLetter(seq: number): PerdureError {
  return new PerdureError(
    "DEAD_LETTER_NOT_FOUND",
    `There is no dead letter ${seq}: it was sent again or dropped, or never was. \`perdure dead-letters\` lists those there are.`,
    { details: { seq } },
  );
}
