/**
 * Pids that this incarnation keeps for processes it is about to start. Whoever asks while the database is answering others waits, and
 * then goes with all that wait: starts by id are limited by round trips, not by their number.
 */
import type { Pid } from "../../journal/types.ts";
import { text } from "../columns.ts";
import type { WriteId } from "./commit.ts";
import { has } from "./has.ts";
import { statement, step } from "./wire/session.ts";
import type { Statement } from "./wire/session.ts";
import type { Write } from "./writer.ts";

/** More at once would hold up the commits behind them. */
const mostAtOnce = 1_000;

// Another node waits here until this is done, so all have to come in one order.
const keepPids = statement(
  `INSERT INTO ~.reserved AS r (pid, incarnation) SELECT p.pid, $2 FROM unnest($1) AS p (pid)
   ON CONFLICT (pid) DO UPDATE SET incarnation = $2
   WHERE NOT EXISTS (SELECT 1 FROM ~.node AS n WHERE n.incarnation = r.incarnation AND n.state = 'live')`,
  "text[]",
  "int8",
);
/** A letter for each in their order: whether it is kept. What is kept in vain is let go. */
function tellKeeper(tables: readonly string[]): Statement {
  const isThere = tables.map((table) => has(`~.${table} AS t WHERE t.pid = a.pid`)).join(" OR ");
  return statement(
    `WITH asked AS (
       SELECT a.pid, a.n, ${isThere} AS there,
         ${has("~.reserved AS r WHERE r.pid = a.pid AND r.incarnation = $1")} AS mine
       FROM unnest($3) WITH ORDINALITY AS a (pid, n)),
     vain AS (DELETE FROM ~.reserved WHERE incarnation = $1 AND pid IN (SELECT pid FROM asked WHERE mine AND there))
   INSERT INTO ~.receipt (incarnation, number, put)
   SELECT $1, $2, (SELECT string_agg(CASE WHEN mine AND NOT there THEN 'y' ELSE 'n' END, '' ORDER BY n) FROM asked)
   RETURNING put, gone`,
    ...(["int8", "int8", "text[]"] as const),
  );
}

export interface ReservedParts {
  incarnation(): number;
  write<T>(write: Write<T>): Promise<T>;
}

export class Reserved {
  readonly #parts: ReservedParts;
  readonly #tell: Statement;
  #waiting = new Map<Pid, PromiseWithResolvers<boolean>>();
  #isAsking = false;

  /** `tables`: a pid that is in one of them is kept for nobody. */
  constructor(parts: ReservedParts, tables: readonly string[]) {
    this.#parts = parts;
    this.#tell = tellKeeper(tables);
  }

  /** True if this incarnation keeps the pid: see `Sharing`. */
  keep(pid: Pid): Promise<boolean> {
    const answer = this.#waiting.get(pid) ?? Promise.withResolvers<boolean>();
    this.#waiting.set(pid, answer);
    if (!this.#isAsking) void this.#askAll();
    return answer.promise;
  }

  async #askAll(): Promise<void> {
    this.#isAsking = true;
    // Those who ask in the same moment go together.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting].slice(0, mostAtOnce).toSorted(([a], [b]) => (a < b ? -1 : 1));
      for (const [pid] of batch) this.#waiting.delete(pid);
      try {
        const kept = await this.#ask(batch.map(([pid]) => pid));
        for (const [at, [, answer]] of batch.entries()) answer.resolve(kept[at] === "y");
      } catch (error) {
        for (const [, answer] of batch) answer.reject(error);
      }
    }
    this.#isAsking = false;
  }

  #ask(pids: readonly Pid[]): Promise<string> {
    const incarnation = this.#parts.incarnation();
    return this.#parts.write({
      doing: "reserve pids in",
      atMs: null,
      mayWait: true,
      before: [step(keepPids, pids, incarnation)],
      receipt: (id: WriteId) => step(this.#tell, id.incarnation, id.number, pids),
      after: [],
      read: (row) => text(row, "put"),
    });
  }
}
