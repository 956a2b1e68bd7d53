/** Rows on their way from store to store: are they what was written, what becomes of them elsewhere, are they the same in the end. */
import { createHash } from "node:crypto";
import { checksum, edgeBody, operationIdentity, restoreBody, stoneChecksum, tieIdentity } from "../checksum.ts";
import { bytes, number, text } from "../columns.ts";
import type { EdgeState } from "../port.ts";
import type { Part, PartName, PartRow } from "./parts.ts";

type Expect = (row: PartRow) => number;

const hex = (row: PartRow, column: string): string => Buffer.from(bytes(row, column)).toString("hex");
const orUndefined = <T>(row: PartRow, column: string, read: (row: PartRow, column: string) => T): T | undefined =>
  row[column] === null ? undefined : read(row, column);
const plain =
  (body: string, index?: string): Expect =>
  (row) =>
    checksum(bytes(row, body), number(row, "process"), index === undefined ? 0 : number(row, index));

/** What the checksums of those parts that have one should be. */
const expected: Partial<Record<PartName, Expect>> = {
  journal: plain("body", "turn"),
  operation: (row) => {
    const [name, options, startedAtMs] = [text(row, "name"), text(row, "options"), number(row, "started_at_ms")];
    const beside = operationIdentity({ name, options, startedAtMs });
    return checksum(bytes(row, "args"), number(row, "process"), number(row, "number"), beside);
  },
  inbox: (row) => {
    const beside = tieIdentity(orUndefined(row, "tie", number), orUndefined(row, "monitor", number));
    return checksum(bytes(row, "input"), number(row, "process"), 0, beside);
  },
  checkpoint: plain("body", "turn"),
  restore: (row) => checksum(restoreBody(number(row, "from_turn")), number(row, "process"), number(row, "turn")),
  dead_letter: plain("input"),
  edge: (row) => {
    const state = text(row, "state") as EdgeState;
    const body = edgeBody(
      { key: text(row, "key"), digest: hex(row, "digest"), state },
      orUndefined(row, "answer", bytes),
    );
    return checksum(body, number(row, "process"), 0);
  },
  tombstone: (row) =>
    stoneChecksum(
      {
        pid: text(row, "pid"),
        program: text(row, "program"),
        entry: text(row, "entry"),
        argsDigest: hex(row, "args_digest"),
        startedAtMs: number(row, "started_at_ms"),
        exitedAtMs: number(row, "exited_at_ms"),
        prunedAtMs: number(row, "pruned_at_ms"),
        reason: text(row, "exit_reason"),
        valueBytes: number(row, "value_bytes"),
      },
      orUndefined(row, "exit_value", bytes),
    ),
  exported: plain("body"),
};

/** Whether a row fails its checksum. */
export function isDamaged({ name }: Part, row: PartRow): boolean {
  const expect = expected[name];
  if (expect === undefined) return false;
  try {
    return row["crc"] !== expect(row);
  } catch {
    return true;
  }
}

/** A row as a store of one owner keeps it: it has no shards, and knows who is tied to whom without being told. */
export function asSole(part: Part, row: PartRow): PartRow {
  if (!part.columns.some(({ shared }) => shared)) return row;
  const nothing = Object.fromEntries(part.columns.flatMap(({ name, shared }) => (shared ? [[name, null]] : [])));
  const sole = { ...row, ...nothing };
  if (part.name !== "inbox") return sole;
  // What was damaged stays damaged.
  const crc = plain("input")(sole);
  return { ...sole, crc: isDamaged(part, row) ? (crc + 1) % 2 ** 32 : crc };
}

const lanes = 8;

/** The same for the same rows, in whatever order they come. */
export class RowDigest {
  readonly #sums = new Uint32Array(lanes);
  rows = 0;
  bytes = 0;

  add(part: Part, row: PartRow): void {
    // Of bytes only the length stands in the text.
    let said = "";
    const bodies: Uint8Array[] = [];
    for (const { name } of part.columns) {
      const value = row[name] ?? null;
      if (value instanceof Uint8Array) {
        said += `b${value.length} `;
        bodies.push(value);
      } else if (typeof value === "string") said += `t${value.length} ${value}`;
      else said += value === null ? "- " : `n${value} `;
      this.bytes += typeof value === "number" || value === null ? 8 : value.length;
    }
    const hash = createHash("sha256").update(said);
    for (const body of bodies) hash.update(body);
    const digest = hash.digest();
    for (let lane = 0; lane < lanes; lane++) this.#sums[lane] = (this.#sums[lane] ?? 0) + digest.readUInt32BE(lane * 4);
    this.rows++;
  }

  get hex(): string {
    return [...this.#sums].map((sum) => sum.toString(16).padStart(8, "0")).join("");
  }
}
