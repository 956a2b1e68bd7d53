/**
 * What a store consists of, as it goes from one store to another: the rows of its tables, part by part, each in the order of a key.
 * SQLite and PostgreSQL keep the same columns (`sqlite/schema.ts` tells what they are); a store in memory makes them up.
 *
 * Left out is what belongs to nodes (leases, receipts, standby rows), what `Account` says, and turns and edges of pruned processes that
 * are still being deleted.
 */

/** `whole`: an integer; `real`: any number. */
export type ColumnKind = "whole" | "real" | "text" | "bytes";

export interface Column {
  readonly name: string;
  readonly kind: ColumnKind;
  /** Only stores that several nodes own have it; elsewhere it is null. */
  readonly shared?: boolean;
}

/** Where a part's rows follow on each other. */
export type PartKey = readonly (number | string)[];

export interface Part {
  readonly name: PartName;
  readonly columns: readonly Column[];
  /** Columns, or `id` alone: a number that each store gives by itself, in the order in which rows are put. */
  readonly key: readonly string[];
  /** Rows of pruned processes are passed over. */
  readonly passesRemains?: boolean;
}

export type PartName =
  | "blob"
  | "program"
  | "process"
  | "journal"
  | "snapshot"
  | "operation"
  | "timer"
  | "inbox"
  | "log"
  | "link"
  | "monitor"
  | "name"
  | "member"
  | "checkpoint"
  | "checkpoint_tie"
  | "restore"
  | "dead_letter"
  | "edge"
  | "tombstone"
  | "exported"
  | "imported"
  | "remains";

export type PartValue = null | number | string | Uint8Array;
export type PartRow = Readonly<Record<string, PartValue>>;

/** "process:whole turn:whole body:bytes": names and kinds. A `?` marks what is there in shared stores only. */
function columns(text: string): Column[] {
  return text
    .trim()
    .split(/\s+/)
    .map((word) => {
      const [name = "", kind = ""] = word.replace("?", "").split(":");
      return { name, kind: kind as ColumnKind, ...(word.endsWith("?") ? { shared: true } : {}) };
    });
}

function part(name: PartName, key: string, text: string, passesRemains = false): Part {
  return { name, key: key.split(" "), columns: columns(text), ...(passesRemains ? { passesRemains } : {}) };
}

/** In the order in which they are written: a process finds its program, whatever belongs to a process finds that. */
export const parts: readonly Part[] = [
  part("blob", "hash", "hash:text bytes:bytes"),
  part(
    "program",
    "id",
    "hash:text file:text created_at_ms:whole bundle:text source_map:text prelude:text engine:text operations:text",
  ),
  // `program` is a hash here, "" if there is none.
  part(
    "process",
    "key",
    `key:whole pid:text program:text shard:whole? entry:text args_digest:bytes state:text problem:text started_at_ms:whole parent:text
     label:text role:text restarts:whole needs:text held:whole traps_exits:whole life:whole exited_at_ms:whole exit_reason:text exit_value:bytes`,
  ),
  part("journal", "process turn", "process:whole turn:whole at_ms:whole crc:whole body:bytes", true),
  part("snapshot", "process turn", "process:whole turn:whole body:bytes"),
  part(
    "operation",
    "process number",
    `process:whole number:whole name:text state:text attempt:whole not_before_ms:real started_at_ms:whole deaths:whole
     created_at_ms:whole last_error:text options:text crc:whole args:bytes`,
  ),
  part("timer", "process number", "process:whole number:whole clock:text due_ms:real"),
  part(
    "inbox",
    "seq",
    `seq:whole process:whole at_ms:whole crc:whole input:bytes tie:whole? monitor:whole? else_process:whole? else_crc:whole?
     else_input:bytes?`,
  ),
  part("log", "seq", "seq:whole process:whole turn:whole at_ms:whole level:text text:text"),
  part("link", "a b", "a:whole b:whole"),
  part("monitor", "watcher number", "watcher:whole number:whole target:whole"),
  part("name", "name", "name:text process:whole"),
  part("member", "name process", "name:text process:whole"),
  part("checkpoint", "process", "process:whole turn:whole crc:whole body:bytes"),
  part("checkpoint_tie", "process target", "process:whole target:whole"),
  part("restore", "process turn", "process:whole turn:whole from_turn:whole crc:whole"),
  part("dead_letter", "seq", "seq:whole process:whole at_ms:whole reason:text value:bytes crc:whole input:bytes"),
  part(
    "edge",
    "id",
    "process:whole key:text at_ms:whole digest:bytes about:text state:text posted:whole crc:whole answer:bytes",
    true,
  ),
  part(
    "tombstone",
    "pid",
    `pid:text program:text entry:text args_digest:bytes started_at_ms:whole exited_at_ms:whole pruned_at_ms:whole exit_reason:text
     value_bytes:whole crc:whole exit_value:bytes`,
  ),
  part("exported", "id", "pid:text process:whole at_ms:whole crc:whole body:bytes"),
  part("imported", "file", "file:text pid:text at_ms:whole"),
  part("remains", "process", "process:whole"),
];

/** The key of a row that `Mover.dump` gave. */
export function keyOf({ key }: Part, row: PartRow): PartKey {
  return key.map((name) => row[name] as number | string);
}

export function sizeOf(row: PartRow): number {
  let bytes = 0;
  for (const value of Object.values(row)) bytes += typeof value === "number" || value === null ? 8 : value.length;
  return bytes;
}
