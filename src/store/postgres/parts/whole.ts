/** Whole tables, batch by batch: how a store leaves a database, and how it comes into one. */
import { crc32 } from "node:zlib";
import { encodeInput, decodeInput } from "../../../journal/encoding.ts";
import { checksum } from "../../checksum.ts";
import { bytes, number, text } from "../../columns.ts";
import type { Row } from "../../columns.ts";
import type { Column, Part, PartKey, PartRow, PartValue } from "../../migration/parts.ts";
import type { DumpLimit } from "../../migration/port.ts";
import { countPart, selectPart, storedColumns } from "../../migration/sql.ts";
import type { Dialect } from "../../migration/sql.ts";
import { whole } from "../line.ts";
import type { Line } from "../line.ts";
import { statement, step } from "../wire/session.ts";
import type { Statement, Step } from "../wire/session.ts";
import type { Scalar, Type } from "../wire/values.ts";
import { composed, inputChecksum, signalCrc } from "./notices.ts";

const dialect: Dialect = { schema: "~.", parameter: (n) => `$${n}`, shared: true };

const types: Readonly<Record<Column["kind"], "int8" | "float8" | "text" | "bytea">> = {
  whole: "int8",
  real: "float8",
  text: "text",
  bytes: "bytea",
};

// -- reading ----------------------------------------------------------------------------------------------------

export class PartReader {
  readonly #line: Line;
  /** By part, without a key before them and with one. */
  readonly #selects = new Map<string, Statement>();

  constructor(line: Line) {
    this.#line = line;
  }

  async count(part: Part): Promise<number> {
    return number((await this.#line.get({ ...statement(countPart(part, dialect)), once: true })) ?? {}, "rows");
  }

  async dump(part: Part, after: PartKey | undefined, { rows, bytes: limitBytes }: DumpLimit): Promise<PartRow[]> {
    const name = `${part.name} ${after === undefined}`;
    const select = this.#selects.get(name) ?? reading(part, after === undefined);
    this.#selects.set(name, select);
    const found = await this.#line.all(select, ...(after ?? []), whole(rows), whole(limitBytes));
    return (part.name === "inbox" ? found.map(told) : found) as PartRow[];
  }
}

/** Rows up to that with which they have so many bytes: their sizes are known without reading what they hold. */
function reading(part: Part, isFirst: boolean): Statement {
  const sizes = storedColumns(part, dialect)
    .filter(({ kind }) => kind === "text" || kind === "bytes")
    .map(({ name }) => (part.name === "process" && name === "program" ? "64" : `coalesce(octet_length(t.${name}), 0)`));
  const key = part.key.map((name) => `t.${name}`).join(", ");
  const more = [`${["8", ...sizes].join(" + ")} AS size`, `row_number() OVER (ORDER BY ${key}) AS place`];
  const inner = selectPart(part, dialect, isFirst, part.name === "inbox" ? ["t.sender", ...more] : more);
  const keys = isFirst ? [] : part.key.map((name) => typeOfKey(part, name));
  const columns = [...part.columns.map(({ name }) => name), ...part.key, ...(part.name === "inbox" ? ["sender"] : [])];
  return statement(
    `SELECT ${[...new Set(columns)].join(", ")} FROM (
       SELECT q.*, sum(size) OVER (ORDER BY place) - size AS before FROM (${inner}) AS q) AS w
     WHERE before < $${keys.length + 2} ORDER BY place`,
    ...keys,
    ...(["int8", "int8"] as const),
  );
}

function typeOfKey(part: Part, name: string): Type {
  const column = part.columns.find((each) => each.name === name);
  return column === undefined ? "int8" : types[column.kind];
}

/** A row of the inbox as if what it says had been put as it is heard: notices of ends are composed when they are read. */
function told({ sender, ...row }: Row): Row {
  if (sender === null || sender === undefined) return row;
  const [process, tie] = [number(row, "process"), number(row, "tie")];
  const monitor = row["monitor"] === null ? undefined : number(row, "monitor");
  const notice = { process, monitor, sender: String(sender) };
  const body = bytes(row, "input");
  const isWhole = signalCrc(number(row, "crc"), notice) === checksum(body, tie, 0);
  const input = isWhole ? encodeInput(composed(decodeInput(body), notice)) : body;
  const crc = inputChecksum(input, process, tie, monitor);
  // What was damaged stays damaged.
  return { ...row, input, crc: isWhole ? crc : (crc + 1) % 2 ** 32 };
}

// -- writing ----------------------------------------------------------------------------------------------------

const inserts = new Map<string, Statement>();

export function filling(part: Part, rows: readonly PartRow[]): Step[] {
  const columns = storedColumns(part, dialect);
  const insert = inserts.get(part.name) ?? writing(part, columns);
  inserts.set(part.name, insert);
  return [step(insert, ...columns.map(({ name }) => rows.map((row): Scalar => row[name] ?? null)))];
}

function writing(part: Part, columns: readonly Column[]): Statement {
  const names = columns.map(({ name }) => name);
  const [put, from] = [names.map((name) => `t.${name}`), names.map((_, i) => `$${i + 1}`).join(", ")];
  let [into, joined] = [[...names], ""];
  if (part.name === "process")
    put[names.indexOf("program")] = "coalesce((SELECT p.id FROM ~.program AS p WHERE p.hash = t.program), 0)";
  if (part.name === "timer") {
    into = [...into, "shard"];
    put.push("coalesce(p.shard, 1)");
    joined = "LEFT JOIN ~.process AS p ON p.key = t.process";
  }
  return statement(
    `INSERT INTO ~.${part.name} (${into.join(", ")}) OVERRIDING SYSTEM VALUE
     SELECT ${put.join(", ")} FROM unnest(${from}) WITH ORDINALITY AS t (${names.join(", ")}, n) ${joined} ORDER BY t.n`,
    ...columns.map(({ kind }): Type => `${types[kind]}[]`),
  );
}

// -- shards -----------------------------------------------------------------------------------------------------

const allShards = statement("SELECT shard FROM ~.shard ORDER BY shard");
const shardsOf = statement("SELECT pid, shard FROM ~.process WHERE pid = ANY ($1)", "text[]");

/** Gives processes their shards that come from a store without: whoever was spawned that of its parent, as when it is born in one. */
export class ShardChooser {
  readonly #line: Line;
  #shards: readonly number[] = [];

  constructor(line: Line) {
    this.#line = line;
  }

  async placed(rows: readonly PartRow[]): Promise<PartRow[]> {
    if (rows.every((row) => typeof row["shard"] === "number")) return [...rows];
    if (this.#shards.length === 0) this.#shards = (await this.#line.all(allShards)).map((row) => number(row, "shard"));
    const parents = new Set(
      rows.map((row) => row["parent"] ?? null).filter((pid): pid is string => typeof pid === "string"),
    );
    const found = await this.#line.all(shardsOf, [...parents]);
    const known = new Map<PartValue, number>(found.map((row) => [text(row, "pid"), number(row, "shard")]));
    // Parents are older than their children, and so come before them.
    return rows.map((row) => {
      const pid = text(row, "pid");
      const shard = known.get(row["parent"] ?? null) ?? this.#shards[crc32(pid) % this.#shards.length] ?? 1;
      known.set(pid, shard);
      return { ...row, shard };
    });
  }
}
