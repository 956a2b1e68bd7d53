/** Opening a store: is it there, is it ours, can we use it, and if it is new, making it. */
import { randomUUID } from "node:crypto";
import { crc32 } from "node:zlib";
import { PerdureError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { number, text } from "../columns.ts";
import type { Mover } from "../migration/port.ts";
import { refusalToRead, refusalToWrite } from "../migration/refusals.ts";
import { Hints } from "./hints.ts";
import { isLive } from "./lease.ts";
import { Line, settings } from "./line.ts";
import type { LineOptions } from "./line.ts";
import { readMarks } from "./marks.ts";
import { PostgresMover } from "./mover.ts";
import { checkPlace, placeOf } from "./restored.ts";
import { migrations, schemaVersion } from "./schema.ts";
import { PostgresStore } from "./store.ts";
import type { StoreMode } from "./store.ts";
import { parseAddress } from "./wire/address.ts";
import { begin, commit, rollback, step } from "./wire/session.ts";
import type { Result, Session, Step } from "./wire/session.ts";
import type { Type, Value } from "./wire/values.ts";

export interface PostgresStoreOptions {
  /** `owner` may claim the store; `reader` reads and posts beside whoever owns it. Default `owner`. */
  readonly mode?: StoreMode;
  /** Make the store if its schema is not there. Default: true for an owner, false for a reader. */
  readonly create?: boolean;
  /** Open it for an owner even if it is a copy that was made in another database. Default: then it is STORE_RESTORED. */
  readonly acceptRestored?: boolean;
  /** The schema that holds the tables, and nothing else. Default: the URL's parameter `schema`, else `perdure`. */
  readonly schema?: string;
  /** How long a claim lasts without a sign of life of its owner; then another may take over. Default: the URL's parameter `lease`, else 10,000. */
  readonly leaseMs?: number;
  /** A store that this makes has so many shards: at least as many as there will ever be nodes. It keeps them. Default 16. */
  readonly shards?: number;
  /** Connections for reading. There is one more for writing. Default 3. */
  readonly readers?: number;
  /** How long reads and writes wait for a database that is away before they fail with STORE_UNREACHABLE. Default: three leases. */
  readonly retryMs?: number;
  /** A statement or a transaction that takes longer is broken off. Default 20,000. */
  readonly statementTimeoutMs?: number;
  /** Default 10,000. */
  readonly connectTimeoutMs?: number;
  /**
   * Keep statements prepared on the server. Off for a pooler that hands connections from client to client and does not know of
   * them. Default: the URL's parameter `prepare` (`yes` or `no`), else true.
   */
  readonly prepare?: boolean;
  /** Tell other nodes at once that the inbox has changed (NOTIFY). Default true. */
  readonly notify?: boolean;
  /** Hear of it from others (LISTEN, see `PostgresStore.onHint`), by this URL if the store's leads to a pooler. Default true. */
  readonly listen?: boolean | string;
}

const defaultLeaseMs = 10_000;
/** By then another one may have taken over, if it can reach the database. */
const retryLeases = 3;
const defaults = {
  shards: 16,
  readers: 3,
  statementTimeoutMs: 20_000,
  connectTimeoutMs: 10_000,
};
/** The server breaks off first; a line on which nothing is heard for so long is dead. */
const answerFactor = 1.5;
const notFoundAdvice = "Correct the URL, or start a program: that creates the store.";

/**
 * Opens the store in the database that a `postgres://` URL names.
 *
 * Throws ARGUMENT_INVALID (no such URL), STORE_NOT_FOUND, STORE_UNREADABLE (login refused, no rights, or no Perdure store), STORE_NEWER,
 * STORE_READ_ONLY, STORE_UNREACHABLE.
 */
export async function openPostgresStore(url: string, options: PostgresStoreOptions = {}): Promise<PostgresStore> {
  const mode = options.mode ?? "owner";
  const line = new Line(lineOptions(url, options));
  const listen =
    typeof options.listen === "string" ? new Line({ ...lineOptions(options.listen, options), prepare: false }) : line;
  try {
    const storeId = await prepareStore(line, { ...options, mode });
    const marks = await readMarks(line);
    const { path } = line.place;
    const refused = mode === "owner" ? refusalToWrite(path, marks) : refusalToRead(path, marks);
    if (refused !== undefined) throw refused;
    const hints = new Hints(storeId, {
      notify: options.notify ?? true,
      listen: options.listen === false ? undefined : listen,
    });
    const { leaseMs } = line.options;
    return new PostgresStore(line, { id: storeId, mode, leaseMs, hints, listen });
  } catch (error) {
    line.close();
    throw line.error("open", error);
  }
}

/** Opens it as one end of a migration, whatever it was before. Throws the same. */
export async function openPostgresMover(url: string, options: PostgresStoreOptions = {}): Promise<Mover> {
  const line = new Line(lineOptions(url, options));
  try {
    await prepareStore(line, { ...options, mode: "owner" });
    return new PostgresMover(line);
  } catch (error) {
    line.close();
    throw line.error("open", error);
  }
}

/** Whether an engine owns the store at this moment: one whose lease has not run out. */
export async function isPostgresStoreOwned(url: string, options: PostgresStoreOptions = {}): Promise<boolean> {
  const line = new Line(lineOptions(url, options));
  try {
    return (await line.get(isLive)) !== undefined;
  } catch (error) {
    throw line.error("tell who owns", error);
  } finally {
    line.close();
  }
}

/** Throws ARGUMENT_INVALID. */
export function lineOptions(url: string, options: PostgresStoreOptions): LineOptions {
  const address = parseAddress(url);
  const schema = options.schema ?? address.schema ?? "perdure";
  if (
    schema === "" ||
    schema.includes("\0") ||
    Buffer.byteLength(schema) > 63 ||
    /^pg_|^information_schema$/.test(schema)
  ) {
    throw new PerdureError(
      "ARGUMENT_INVALID",
      `${JSON.stringify(schema)} is no name for the schema of a store. Take one of 1 to 63 bytes that does not begin with "pg_".`,
    );
  }
  const leaseMs = options.leaseMs ?? address.leaseMs ?? defaultLeaseMs;
  const retryMs = options.retryMs ?? retryLeases * leaseMs;
  const { shards, readers, statementTimeoutMs, connectTimeoutMs } = { ...defaults, ...options };
  for (const [name, value] of Object.entries({
    shards,
    leaseMs,
    readers,
    retryMs,
    statementTimeoutMs,
    connectTimeoutMs,
  })) {
    if (Number.isSafeInteger(value) && value >= (name === "retryMs" ? 0 : 1)) continue;
    throw new PerdureError("ARGUMENT_INVALID", `${name} is ${value}; it must be a whole number from 1.`);
  }
  const prepare = options.prepare ?? address.prepare ?? true;
  const responseTimeoutMs = answerFactor * statementTimeoutMs;
  return {
    address,
    schema,
    prepare,
    leaseMs,
    readers,
    retryMs,
    statementTimeoutMs,
    connectTimeoutMs,
    responseTimeoutMs,
  };
}

type Found = { readonly kind: "nothing" } | { readonly kind: "store"; readonly id: string; readonly version: number };

/** Returns the store's id. */
async function prepareStore(
  line: Line,
  { mode, create = mode === "owner", shards = defaults.shards, acceptRestored = false }: PostgresStoreOptions,
): Promise<string> {
  const session = await line.open();
  try {
    const encoding = session.parameters.get("server_encoding") ?? "UTF8";
    if (encoding !== "UTF8") {
      throw refuse(
        line,
        "STORE_UNREADABLE",
        `the database's encoding is ${encoding}, and it must be UTF8. Create another database.`,
      );
    }
    const run = (steps: readonly Step[]): Promise<readonly Result[]> => session.run(steps);
    const found = await find(line, run);
    if (found.kind === "store" && mode === "owner") await checkPlace(session, line.place.path, acceptRestored);
    if (found.kind === "store" && found.version === schemaVersion) return found.id;
    if (found.kind === "nothing" && !create) {
      throw refuse(
        line,
        "STORE_NOT_FOUND",
        `the database has no schema ${line.options.schema} with its tables. ${notFoundAdvice}`,
      );
    }
    return await migrate(line, session, shards, await placeOf(session));
  } finally {
    session.close();
  }
}

type Run = (steps: readonly Step[]) => Promise<readonly Result[]>;

async function find(line: Line, run: Run): Promise<Found> {
  const { schema } = line.options;
  const [tables] = await run([
    once("SELECT CAST(table_name AS text) AS name FROM information_schema.tables WHERE table_schema = $1", [
      "text",
      schema,
    ]),
  ]);
  const names = new Set((tables?.rows ?? []).map((row) => text(row, "name")));
  if (names.size === 0) return { kind: "nothing" };
  if (!["meta", "node", "journal"].every((name) => names.has(name))) {
    throw refuse(
      line,
      "STORE_UNREADABLE",
      `its schema ${schema} holds tables of something else, so it is not a Perdure store. It was left as it is; choose another schema.`,
    );
  }
  const [meta] = await run([once("SELECT store_id, schema_version FROM ~.meta")]);
  const row = meta?.rows[0] ?? {};
  const version = number(row, "schema_version");
  if (version > schemaVersion) {
    throw refuse(
      line,
      "STORE_NEWER",
      `a newer release wrote it (schema ${version}, this one knows ${schemaVersion}). Nothing was changed. Install the newer release.`,
    );
  }
  return { kind: "store", id: text(row, "store_id"), version };
}

function once(sql: string, ...parameters: readonly (readonly [Type, Value])[]): Step {
  return step({ sql, types: parameters.map(([type]) => type), once: true }, ...parameters.map(([, value]) => value));
}

/** Two engines may get here at once: the second one finds what the first one made when it has its turn. */
async function migrate(line: Line, session: Session, shards: number, place: string): Promise<string> {
  const { schema, statementTimeoutMs } = line.options;
  const run: Run = (steps) => session.run(steps);
  const lock = 0x50657 * 2 ** 32 + crc32(schema);
  try {
    await run([
      step(begin),
      settings(session, statementTimeoutMs),
      once("SELECT pg_advisory_xact_lock($1)", ["int8", lock]),
    ]);
    const found = await find(line, run);
    const id = found.kind === "store" ? found.id : randomUUID();
    const from = found.kind === "store" ? found.version : 0;
    const steps = migrations.slice(from).flatMap((each) => each.map((sql) => once(sql)));
    if (found.kind === "nothing") {
      const [spaces] = await run([
        once("SELECT 1 AS one FROM pg_catalog.pg_namespace WHERE nspname = $1", ["text", schema]),
      ]);
      if (spaces?.rows.length === 0) steps.unshift(once(`CREATE SCHEMA "${schema.replaceAll('"', '""')}"`));
      steps.push(
        once(
          "INSERT INTO ~.meta (one, store_id, schema_version, downtime_ms, place) VALUES (1, $1, $2, 0, $3)",
          ["text", id],
          ["int8", schemaVersion],
          ["text", place],
        ),
        once("INSERT INTO ~.shard (shard, owner, clean, posted) SELECT shard, 0, 1, 0 FROM unnest($1) AS t (shard)", [
          "int8[]",
          Array.from({ length: shards }, (_, index) => index + 1),
        ]),
      );
    } else steps.push(once("UPDATE ~.meta SET schema_version = $1", ["int8", schemaVersion]));
    await run(steps);
    await run([step(commit)]);
    return id;
  } catch (error) {
    await run([step(rollback)]).catch(() => undefined);
    throw error;
  }
}

function refuse(line: Line, code: ErrorCode, reason: string): PerdureError {
  const { path } = line.place;
  return new PerdureError(code, `Cannot open the store ${path}: ${reason}`, { details: { path } });
}
