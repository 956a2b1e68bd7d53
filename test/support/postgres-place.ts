/** What tests do to a server beside the store. */
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { commonPostgres, postgresUnavailable } from "./postgres.ts";
import { Proxy } from "./proxy.ts";
import type { Row } from "../../src/store/columns.ts";
import { openPostgresStore } from "../../src/store/postgres/index.ts";
import type { PostgresStore, PostgresStoreOptions } from "../../src/store/postgres/index.ts";
import { parseAddress } from "../../src/store/postgres/wire/address.ts";
import { Session, step } from "../../src/store/postgres/wire/session.ts";

/** Runs one statement as a person with a shell would. */
export async function byHand(url: string, sql: string): Promise<void> {
  await rowsByHand(url, sql);
}

export async function rowsByHand(url: string, sql: string): Promise<readonly Row[]> {
  const session = await Session.open({
    address: parseAddress(url),
    schema: "public",
    prepare: false,
    connectTimeoutMs: 10_000,
    responseTimeoutMs: 30_000,
  });
  try {
    return (await session.run([step({ sql, types: [], once: true })]))[0]?.rows ?? [];
  } finally {
    session.close();
  }
}

export const skip: string | false = postgresUnavailable() ?? false;

/** A schema of a test's own, reached straight or by a proxy. `~` stands for it in SQL. */
export interface Place {
  readonly url: string;
  readonly schema: string;
  readonly proxy: Proxy;
  /** By the proxy. */
  open(options?: PostgresStoreOptions): Promise<PostgresStore>;
  /** Past it. */
  direct(options?: PostgresStoreOptions): Promise<PostgresStore>;
  byHand(sql: string): Promise<readonly Row[]>;
}

export async function place(t: TestContext): Promise<Place> {
  const { url } = await commonPostgres();
  const proxy = await Proxy.open(Number(new URL(url).port));
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  const handles: PostgresStore[] = [];
  const open = async (at: string, options: PostgresStoreOptions = {}): Promise<PostgresStore> => {
    const store = await openPostgresStore(at, { schema, leaseMs: 60_000, ...options });
    handles.push(store);
    return store;
  };
  t.after(async () => {
    for (const handle of handles) handle.destroy();
    await proxy.close();
    await byHand(url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  });
  return {
    url,
    schema,
    proxy,
    open: (options) => open(proxy.through(url), options),
    direct: (options) => open(url, options),
    byHand: (sql) => rowsByHand(url, sql.replaceAll("~", `"${schema}"`)),
  };
}
