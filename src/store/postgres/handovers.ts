/** Handovers as rows: whoever hands a file over writes from outside, a part at a time. What nodes write here may be done twice. */
import { randomUUID } from "node:crypto";
import type { ErrorCode } from "../../base/errors.ts";
import { bytes, number, text } from "../columns.ts";
import { handoverGone, keepHandoverMs } from "../handovers.ts";
import type { Handover, HandoverRefusal, Handovers, HandoverState, NewHandover } from "../handovers.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import { writeOnce } from "./outside.ts";
import { raised, readRefusal } from "./parts/raise.ts";
import { ServerError } from "./wire/errors.ts";
import { statement, step } from "./wire/session.ts";
import type { Result, Step } from "./wire/session.ts";

export interface HandoverParts {
  readonly line: Line;
  /** Of the last claim; 0 before the first. */
  incarnation(): number;
  /** `doing` completes "Cannot … the store". */
  run<T>(doing: string, work: () => Promise<T>): Promise<T>;
}

const partBytes = 1 << 20;

const insert = statement(
  "INSERT INTO ~.handover (id, file, paused, state, node, begins, at_ms, code, message) VALUES ($1, $2, $3, 'coming', 0, 0, $4, '', '')",
  ...(["text", "text", "int8", "int8"] as const),
);
const advance = statement(
  `WITH own AS (UPDATE ~.handover SET at_ms = $2, state = $3 WHERE id = $1 AND state = 'coming' RETURNING 1 AS one)
   SELECT ${raised("handover", "0", "0", "0", "count(*)")} FROM own HAVING count(*) = 0`,
  ...(["text", "int8", "text"] as const),
);
const insertPart = statement(
  "INSERT INTO ~.handover_part (handover, number, bytes) VALUES ($1, $2, $3)",
  ...(["text", "int8", "bytea"] as const),
);
const stateOf = statement("SELECT state, code, message FROM ~.handover WHERE id = $1", "text");
const drop = statement("DELETE FROM ~.handover WHERE id = $1", "text");
// Of one that is just being completed they stay.
const dropParts = statement(
  "DELETE FROM ~.handover_part AS p WHERE p.handover = $1 AND NOT EXISTS (SELECT 1 FROM ~.handover AS h WHERE h.id = $1)",
  "text",
);
const dropOld = statement(
  "DELETE FROM ~.handover WHERE id = $1 AND at_ms < $2 AND state <> 'complete'",
  "text",
  "int8",
);
const list = statement("SELECT id, file, paused, state, begins, at_ms FROM ~.handover ORDER BY begins DESC, at_ms, id");
const take = statement(
  `UPDATE ~.handover AS h SET node = $2, begins = begins + CASE WHEN h.node = $2 THEN 0 ELSE 1 END WHERE h.id = $1 AND h.state = 'complete' AND (h.node = $2
     OR NOT EXISTS (SELECT 1 FROM ~.node AS n WHERE n.incarnation = h.node AND n.state = 'live'))
   RETURNING h.id`,
  "text",
  "int8",
);
const part = statement("SELECT bytes FROM ~.handover_part WHERE handover = $1 AND number = $2", "text", "int8");
const letGo = statement(
  "UPDATE ~.handover SET node = 0, begins = begins - 1 WHERE id = $1 AND node = $2 AND state = 'complete'",
  "text",
  "int8",
);
const end = statement(
  `WITH own AS (UPDATE ~.handover SET state = $3, at_ms = $4, code = $5, message = $6
     WHERE id = $1 AND node = $2 AND state = 'complete' RETURNING id)
   DELETE FROM ~.handover_part AS p USING own WHERE p.handover = own.id`,
  ...(["text", "int8", "text", "int8", "text", "text"] as const),
);

export class PostgresHandovers implements Handovers {
  readonly #parts: HandoverParts;

  constructor(parts: HandoverParts) {
    this.#parts = parts;
  }

  async handOver({ file, paused, bytes: source, nowMs }: NewHandover): Promise<string> {
    const id = randomUUID();
    try {
      await this.#post(file, nowMs(), step(insert, id, file, paused ? 1 : 0, Math.trunc(nowMs())));
      let count = 0;
      for await (const piece of ofOneSize(source)) {
        const atMs = Math.trunc(nowMs());
        await this.#post(file, atMs, step(advance, id, atMs, "coming"), step(insertPart, id, count++, piece));
      }
      await this.#post(file, nowMs(), step(advance, id, Math.trunc(nowMs()), "complete"));
      return id;
    } catch (error) {
      // If this fails too, it goes with what is abandoned.
      await this.#drop(id).catch(() => undefined);
      throw error;
    }
  }

  async outcome(id: string): Promise<HandoverState> {
    const row = await this.#parts.run("read", () => this.#parts.line.get(stateOf, id));
    if (row === undefined) return { state: "gone" };
    const state = text(row, "state");
    if (state !== "imported" && state !== "refused") return { state: "waiting" };
    // The same.
    await this.#drop(id).catch(() => undefined);
    if (state === "imported") return { state };
    return { state, code: text(row, "code") as ErrorCode, message: text(row, "message") };
  }

  async waiting(nowMs: number): Promise<Handover[]> {
    const untilMs = Math.trunc(nowMs) - keepHandoverMs;
    const found: Handover[] = [];
    for (const row of await this.#parts.run("read", () => this.#parts.line.all(list))) {
      const [id, state] = [text(row, "id"), text(row, "state")];
      const [file, paused, begins] = [text(row, "file"), number(row, "paused") === 1, number(row, "begins")];
      if (state === "complete") found.push({ id, file, paused, begins });
      else if (number(row, "at_ms") < untilMs) await this.#write(step(dropOld, id, untilMs), step(dropParts, id));
    }
    return found;
  }

  async take(id: string): Promise<boolean> {
    const results = await this.#write(step(take, id, this.#parts.incarnation()));
    return results.some(({ rows }) => rows.some((row) => row["id"] === id));
  }

  async *bytes(id: string): AsyncGenerator<Uint8Array> {
    for (let at = 0; ; at++) {
      const row = await this.#parts.run("read", () => this.#parts.line.get(part, id, at));
      if (row === undefined) return;
      yield bytes(row, "bytes");
    }
  }

  async letGo(id: string): Promise<void> {
    await this.#write(step(letGo, id, this.#parts.incarnation()));
  }

  async ended(id: string, nowMs: number, refusal?: HandoverRefusal): Promise<void> {
    const { code, message } = refusal ?? { code: "", message: "" };
    const state = refusal === undefined ? "imported" : "refused";
    await this.#write(step(end, id, this.#parts.incarnation(), state, Math.trunc(nowMs), code, message));
  }

  async #drop(id: string): Promise<void> {
    await this.#write(step(drop, id), step(dropParts, id));
  }

  async #post(file: string, atMs: number, ...steps: readonly Step[]): Promise<void> {
    await this.#parts.run("hand a file over to", async () => {
      try {
        await writeOnce(this.#parts.line, Math.trunc(atMs), steps);
      } catch (error) {
        const isGone = error instanceof ServerError && readRefusal(error)?.kind === "handover";
        throw isGone ? handoverGone(file) : error;
      }
    });
  }

  /** Done again if the connection was lost. */
  async #write(...steps: readonly Step[]): Promise<readonly Result[]> {
    const { line, run } = this.#parts;
    return await run("take a file from", () =>
      line.retrying("take a file from", async () => {
        const session = await line.reader();
        return await session.transact([settings(session, line.options.statementTimeoutMs), ...steps]);
      }),
    );
  }
}

/** Neither too small to be written one by one, nor too large for a message. */
async function* ofOneSize(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let [held, sizeBytes]: [Uint8Array[], number] = [[], 0];
  for await (const piece of source) {
    for (let at = 0; at < piece.length;) {
      const more = piece.subarray(at, at + partBytes - sizeBytes);
      held.push(more);
      at += more.length;
      sizeBytes += more.length;
      if (sizeBytes < partBytes) continue;
      yield Buffer.concat(held);
      [held, sizeBytes] = [[], 0];
    }
  }
  if (sizeBytes > 0) yield Buffer.concat(held);
}
