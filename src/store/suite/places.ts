/** Stores of each kind, as the suite asks for them. Each call makes another one. */
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { commonPostgres } from "../../../test/support/postgres.ts";
import { byHand } from "../../../test/support/postgres-place.ts";
import { createMemoryStore } from "../memory/index.ts";
import type { MemoryStore } from "../memory/index.ts";
import type { Mover } from "../migration/port.ts";
import type { StoreReader } from "../port.ts";
import { openPostgresMover, openPostgresStore } from "../postgres/index.ts";
import type { PostgresStore, PostgresStoreOptions } from "../postgres/index.ts";
import { openSqliteMover, openSqliteStore } from "../sqlite/index.ts";
import type { SharedFixture, StoreFixture } from "./fixture.ts";

/** Also one end of a migration, of which there may be several at once. */
export interface Movable {
  mover(): Promise<Mover>;
}

/** In a folder of its own, which goes with it. */
export function sqliteFixture(folder: string): StoreFixture & Movable {
  const path = join(folder, "store.db");
  const handles: Pick<StoreReader, "close">[] = [];
  const kept = <T extends Pick<StoreReader, "close">>(handle: T): T => {
    handles.push(handle);
    return handle;
  };
  return {
    open: async () => kept(await openSqliteStore(path)),
    openReader: async () => kept(await openSqliteStore(path, { mode: "reader" })),
    mover: async () => kept(await openSqliteMover(path)),
    // What the operating system does to a dead process: its locks and handles go, and nothing else is written.
    crash: (store) => store.close(),
    usurp: async () => {
      const db = new DatabaseSync(path);
      db.exec("UPDATE meta SET incarnation = incarnation + 1");
      db.close();
    },
    dispose: async () => {
      for (const handle of handles) await handle.close();
      rmSync(folder, { recursive: true });
    },
  };
}

export function memoryFixture(root: MemoryStore = createMemoryStore({ id: randomUUID() })): StoreFixture & Movable {
  const place = `memory ${randomUUID()}`;
  return {
    open: async () => root.open(),
    openReader: async () => root.open(),
    mover: async () => root.mover(place),
    crash: async (store) => void (store as MemoryStore).crash(),
    usurp: async () => root.usurp(),
    dispose: async () => {},
  };
}

export function sharedMemory(): MemoryStore {
  return createMemoryStore({ id: randomUUID(), shared: { shards: 4, leaseMs: 10_000 } });
}

export function sharedMemoryFixture(root: MemoryStore = sharedMemory()): SharedFixture & Movable {
  const owners = new Map<MemoryStore, number>();
  return {
    ...memoryFixture(root),
    open: async () => {
      const store = root.open();
      const claim = store.claim.bind(store);
      store.claim = async (nowMs, node) => {
        const lease = await claim(nowMs, node);
        owners.set(store, lease.incarnation);
        return lease;
      };
      return store;
    },
    crash: async (store) => {
      (store as MemoryStore).crash();
      root.lapse(owners.get(store as MemoryStore) ?? 0);
    },
    lapse: async (incarnation) => root.lapse(incarnation),
  };
}

export function newSchema(): string {
  return `test_${randomUUID().replaceAll("-", "")}`;
}

/** A schema of its own in the tests' database, unless it is named. */
export async function postgresFixture(options: PostgresStoreOptions = {}): Promise<SharedFixture & Movable> {
  const { url } = await commonPostgres();
  const schema = options.schema ?? newSchema();
  const handles: Pick<StoreReader, "close">[] = [];
  const open = async (more: PostgresStoreOptions): Promise<PostgresStore> => {
    const store = await openPostgresStore(url, { schema, readers: 1, ...options, ...more });
    handles.push(store);
    return store;
  };
  return {
    open: () => open({}),
    openReader: () => open({ mode: "reader" }),
    mover: async () => {
      const mover = await openPostgresMover(`${url}?schema=${schema}`, options);
      handles.push(mover);
      return mover;
    },
    crash: async (store) => {
      (store as PostgresStore).destroy();
      // Time passes.
      const { incarnation } = (store as PostgresStore).sharing.owner;
      await byHand(
        url,
        `UPDATE "${schema}".node SET expires_at = clock_timestamp() WHERE incarnation = ${incarnation} AND state = 'live'`,
      );
    },
    lapse: (incarnation) =>
      byHand(url, `UPDATE "${schema}".node SET expires_at = clock_timestamp() WHERE incarnation = ${incarnation}`),
    usurp: () => byHand(url, `UPDATE "${schema}".node SET state = 'dead' WHERE state = 'live'`),
    dispose: async () => {
      await Promise.all(handles.map((handle) => handle.close()));
      await byHand(url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    },
  };
}
