/** What callers outside asked under keys, and what became of it. */
import { decodePayload, encodePayload } from "../../journal/encoding.ts";
import type { Input, Pid } from "../../journal/types.ts";
import { checkKey } from "../key-conflict.ts";
import { edgeStates } from "../port.ts";
import type { Asked, CommitBatch, EdgeEnd, EdgeRow, NewEdge, ProcessKey } from "../port.ts";
import { checksum, edgeBody } from "../checksum.ts";
import { verified } from "./checksum.ts";
import { bytes, number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import { requireProcess } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { postInput } from "./inbox.ts";

const none: readonly never[] = [];

/** Returns the seqs of posted inputs that are superseded. */
export function applyEdges(connection: Connection, batch: CommitBatch): number[] {
  const superseded: number[] = [];
  for (const edge of batch.edges ?? none) {
    requireProcess(connection, edge.process);
    if (!putEdge(connection, edge, null)) superseded.push(...supersede(connection, edge));
  }
  for (const end of batch.edgeEnds ?? none) endEdge(connection, end);
  return superseded;
}

/** False if the process has one of that key. */
function putEdge({ sql }: Connection, edge: NewEdge, posted: number | null): boolean {
  const { process, key, atMs, digest, about, state } = edge;
  const crc = checksum(edgeBody(edge, undefined), process, 0);
  return sql.putEdge.run(process, key, atMs, Buffer.from(digest, "hex"), about, state, posted, crc).changes > 0;
}

function supersede({ sql }: Connection, { process, key, digest }: NewEdge): number[] {
  const row = sql.postedWith.get(process, key, Buffer.from(digest, "hex"));
  if (row === undefined) return [];
  const seq = number(row, "seq");
  sql.deleteInput.run(seq);
  return [seq];
}

function endEdge({ sql }: Connection, end: EdgeEnd): void {
  const { process, key, digest, state } = end;
  const answer = end.answer === undefined ? undefined : encodePayload(end.answer);
  const crc = checksum(edgeBody(end, answer), process, 0);
  sql.endEdge.run({ process, key, digest: Buffer.from(digest, "hex"), state, crc, answer: answer ?? null });
}

export function readEdge(connection: Connection, row: Row): EdgeRow {
  const process = number(row, "process");
  const key = text(row, "key");
  const digest = Buffer.from(bytes(row, "digest")).toString("hex");
  const state = word(row, "state", edgeStates);
  const answer = row["answer"] === null ? undefined : bytes(row, "answer");
  const stored = { body: edgeBody({ key, digest, state }, answer), crc: number(row, "crc"), process, index: 0 };
  const name = { noun: "What was asked under the key", detail: "key", value: JSON.stringify(key) } as const;
  return {
    process,
    key,
    digest,
    about: text(row, "about"),
    atMs: number(row, "at_ms"),
    state,
    answer: verified(connection, stored, name, () => (answer === undefined ? undefined : decodePayload(answer))),
  };
}

export function findEdge(connection: Connection, process: ProcessKey, key: string): EdgeRow | undefined {
  const row = connection.sql.edge.get(process, key);
  return row === undefined ? undefined : readEdge(connection, row);
}

export function readEdgesOf(connection: Connection, process: ProcessKey, after: string, limit: number): EdgeRow[] {
  return connection.sql.edgesOf.all(process, after, limit).map((row) => readEdge(connection, row));
}

/** To be called within a transaction. False if it was asked before. */
export function postOnce(connection: Connection, pid: Pid, input: Input, atMs: number, asked: Asked): boolean {
  const row = connection.sql.stateOf.get(pid);
  // What was asked of a pruned process is gone with it.
  if (row === undefined) return postInput(connection, pid, input, atMs) > 0;
  const process = number(row, "key");
  const before = findEdge(connection, process, asked.key);
  if (before !== undefined) {
    checkKey(pid, before, asked);
    return false;
  }
  putEdge(connection, { ...asked, process, atMs }, postInput(connection, pid, input, atMs));
  return true;
}
