/** A store in memory as one end of a migration: see `../migration/port.ts`. */
import { randomUUID } from "node:crypto";
import { PerdureError } from "../../base/errors.ts";
import { describeOwner } from "../nodes.ts";
import { keyOf, sizeOf } from "../migration/parts.ts";
import type { Part, PartKey, PartRow } from "../migration/parts.ts";
import type { Account, DumpLimit, Mark, Marks, MigrationRole, Mover } from "../migration/port.ts";
import type { MemoryDisk } from "./disk.ts";
import { keysOfIncarnation } from "./disk.ts";
import { ownerOf } from "./nodes.ts";
import { compareTexts } from "./relations.ts";
import { wholes } from "./whole.ts";

export class MemoryMover implements Mover {
  readonly place: string;
  readonly #disk: MemoryDisk;

  constructor(disk: MemoryDisk, place: string) {
    this.place = place;
    this.#disk = disk;
  }

  get shared(): boolean {
    return this.#disk.shared !== undefined;
  }

  async marks(): Promise<Marks> {
    return { ...this.#disk.marks };
  }

  async begin(mark: Mark, nowMs: number, empty = false): Promise<Mark> {
    this.#checkFree(nowMs);
    this.#disk.mover = this;
    if (mark.role === "source") this.#disk.takeStock(nowMs);
    if (empty) this.#clear(mark.role);
    const found = this.#disk.marks[mark.role];
    if (found !== undefined && found.id !== mark.id) throw this.#fenced();
    this.#disk.marks[mark.role] = found ?? mark;
    return found ?? mark;
  }

  async account(): Promise<Account> {
    const { id, incarnation, downtimeMs, aliveAtMs, clean, prunedKey, processes, shared, seqs } = this.#disk;
    const shards = shared?.states();
    return {
      store: id,
      incarnation,
      lastKey:
        shared === undefined
          ? Math.max(prunedKey, ...processes.keys())
          : incarnation === 0
            ? 0
            : (incarnation + 1) * keysOfIncarnation - 1,
      downtimeMs,
      aliveAtMs,
      clean: shards?.every((shard) => shard.clean) ?? clean,
      seqs: { ...seqs },
      ...(shards === undefined ? {} : { shards }),
    };
  }

  async count(part: Part): Promise<number> {
    return wholes[part.name].rows(this.#disk).length;
  }

  async dump(part: Part, after: PartKey | undefined, limit: DumpLimit): Promise<PartRow[]> {
    const rows = wholes[part.name]
      .rows(this.#disk)
      .sort((a, b) => compareKeys(keyOf(part, a), keyOf(part, b)))
      .filter((row) => after === undefined || compareKeys(keyOf(part, row), after) > 0)
      .slice(0, limit.rows);
    let bytes = 0;
    const end = rows.findIndex((row) => (bytes += sizeOf(row)) >= limit.bytes);
    return end === -1 ? rows : rows.slice(0, end + 1);
  }

  async fill(part: Part, rows: readonly PartRow[], progress: string): Promise<void> {
    const mark = this.#own("target");
    if (mark.progress === progress) return;
    const shards = this.#disk.shared?.states().map(({ shard }) => shard);
    for (const row of rows) wholes[part.name].put(this.#disk, this.#placed(part, row, shards));
    this.#disk.marks.target = { ...mark, progress };
  }

  /** Whoever was spawned is where its parent is. */
  #placed(part: Part, row: PartRow, shards: readonly number[] | undefined): PartRow {
    if (part.name !== "process" || shards === undefined || typeof row["shard"] === "number") return row;
    const parent = this.#disk.processes.get(this.#disk.keys.get(String(row["parent"])) ?? 0);
    return { ...row, shard: parent?.row.shard ?? shards[Number(row["key"]) % shards.length] ?? 1 };
  }

  async settle({ store, incarnation, lastKey, downtimeMs, aliveAtMs, clean, seqs, shards }: Account): Promise<void> {
    this.#own("target");
    const disk = this.#disk;
    const beyond = disk.shared === undefined ? 0 : Math.floor(lastKey / keysOfIncarnation);
    Object.assign(disk, { id: store, downtimeMs, aliveAtMs, clean, prunedKey: lastKey, seqs: { ...seqs } });
    disk.incarnation = Math.max(disk.incarnation, incarnation, beyond);
    disk.shared?.settle(shards ?? disk.shared.states().map(({ shard }) => ({ shard, clean })));
    disk.namesVersion++;
  }

  async complete(role: MigrationRole): Promise<void> {
    this.#disk.marks[role] = { ...this.#own(role), state: "complete" };
  }

  async withdraw(role: MigrationRole): Promise<void> {
    this.#checkFree(0);
    this.#disk.mover = this;
    const mark = this.#disk.marks[role];
    if (role === "target" && mark?.state === "complete") throw this.#fenced();
    if (role === "target") this.#clear(role);
    delete this.#disk.marks[role];
  }

  async audit(_: unknown, step: (done: number, total: number) => void): Promise<void> {
    step(1, 1);
  }

  async foreignTables(): Promise<readonly string[]> {
    return [];
  }

  async close(): Promise<void> {}

  #clear(role: MigrationRole): void {
    this.#disk.clear(randomUUID());
    delete this.#disk.marks[role];
  }

  #own(role: MigrationRole): Mark {
    const mark = this.#disk.marks[role];
    if (mark === undefined || this.#disk.mover !== this) throw this.#fenced();
    return mark;
  }

  #checkFree(nowMs: number): void {
    const { shared, owner } = this.#disk;
    if (shared === undefined ? owner === undefined : !shared.isAnyAlive(nowMs)) return;
    const row = ownerOf(this.#disk);
    const message = `The store ${this.place} is owned by ${describeOwner(row?.name, row?.pid, row?.host)}. Stop that one first.`;
    throw new PerdureError("STORE_IN_USE", message);
  }

  #fenced(): PerdureError {
    const message = `The migration of the store ${this.place} was taken over, given up, or completed. Nothing was kept.`;
    return new PerdureError("STORE_FENCED", message);
  }
}

function compareKeys(a: PartKey, b: PartKey): number {
  for (const [index, one] of a.entries()) {
    const other = b[index] ?? "";
    const order =
      typeof one === "number" && typeof other === "number" ? one - other : compareTexts(String(one), String(other));
    if (order !== 0) return order;
  }
  return 0;
}
