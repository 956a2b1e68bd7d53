/** What is particular to the store on PostgreSQL: opening, round trips, leases by the database's clock, hints, damage. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../test/e2e/support/wait.ts";
import { byHand, place, skip } from "../../../test/support/postgres-place.ts";
import type { Place } from "../../../test/support/postgres-place.ts";
import type { Lease, ProcessKey, ProcessRow, StoreFault } from "../port.ts";
import { deadLetter, message, operation, process as anyProcess, program, startMs, turn } from "../suite/samples.ts";
import { isPostgresStoreOwned, openPostgresStore } from "./index.ts";
import type { PostgresStore, PostgresStoreOptions } from "./index.ts";
import { queries } from "./queries.ts";
import { schemaVersion } from "./schema.ts";
import { parseAddress } from "./wire/address.ts";
import { Session, step } from "./wire/session.ts";
import type { SessionOptions, Statement } from "./wire/session.ts";
import { withoutPassword } from "../place.ts";

const atMs = startMs;

async function owner(at: Place, options?: PostgresStoreOptions): Promise<PostgresStore> {
  const store = await at.open(options);
  await claimAll(store);
  await store.putProgram(program, []);
  await store.commit({ atMs, newProcesses: [process(1), process(2)] });
  return store;
}

async function claimAll(store: PostgresStore): Promise<Lease> {
  const lease = await store.claim(atMs);
  await store.sharing.reap(atMs);
  const shards = await store.sharing.shards();
  await store.sharing.acquire(shards.map(({ shard }) => shard));
  return lease;
}

const process = (key: ProcessKey): ProcessRow => anyProcess(key, { shard: 1 });

// -- opening ----------------------------------------------------------------------------------------------------

test("engines that make a store at the same moment make one", { skip }, async (t) => {
  const at = await place(t);
  const stores = await Promise.all(Array.from({ length: 5 }, () => at.direct()));
  assert.equal(new Set(stores.map(({ id }) => id)).size, 1);
});

test("a store that is not there is STORE_NOT_FOUND, for whoever may not make it", { skip }, async (t) => {
  const at = await place(t);
  await assert.rejects(at.direct({ mode: "reader" }), { code: "STORE_NOT_FOUND" });
  await assert.rejects(at.direct({ create: false }), { code: "STORE_NOT_FOUND" });
  const url = at.url.replace(/\/postgres$/, "/nowhere");
  await assert.rejects(openPostgresStore(url), {
    code: "STORE_NOT_FOUND",
    message: /database "nowhere" does not exist/,
  });
});

test("a schema with other tables is left as it is, a store of a newer release too", { skip }, async (t) => {
  const at = await place(t);
  await at.byHand("CREATE SCHEMA ~");
  await at.byHand("CREATE TABLE ~.customer (name text)");
  await assert.rejects(at.direct(), { code: "STORE_UNREADABLE", message: /holds tables of something else/ });
  await at.byHand("DROP TABLE ~.customer");
  await at.direct();
  await at.byHand(`UPDATE ~.meta SET schema_version = ${schemaVersion + 1}`);
  await assert.rejects(at.direct(), { code: "STORE_NEWER" });
});

test("a copy in another database is opened for readers only, until somebody accepts it", { skip }, async (t) => {
  const at = await place(t);
  await at.direct();
  await at.direct();
  await at.byHand("UPDATE ~.meta SET place = '7000000000000000000/16384'");
  const restored = { code: "STORE_RESTORED", message: /made in another database.*perdure accept-restored/ };
  for (let time = 0; time < 2; time++) await assert.rejects(at.direct(), restored);
  await at.direct({ mode: "reader" });
  await at.direct({ acceptRestored: true });
  await at.direct();
});

test("what cannot be reached or logged in to says so without the password", { skip }, async (t) => {
  const at = await place(t);
  const wrong = new URL(at.url);
  wrong.password = "secret-and-wrong";
  await assert.rejects(openPostgresStore(wrong.href), (error: Error & { code: string }) => {
    assert.deepEqual([error.code, /secret/.test(error.message + String(error.stack))], ["STORE_UNREADABLE", false]);
    return true;
  });
  at.proxy.refuse(true);
  await assert.rejects(at.open(), (error: Error & { code: string }) => {
    assert.deepEqual([error.code, /test's|test%27s/.test(error.message)], ["STORE_UNREACHABLE", false]);
    return true;
  });
});

test("URLs that are none are ARGUMENT_INVALID, and show no password", async () => {
  for (const url of [
    "postgres://ann:secret@host:nonsense/db",
    "postgres://ann:secret@host/db?colour=red",
    "postgres://ann:secret@host/db?sslmode=maybe",
    "postgres://ann:%secret@host/db",
    "postgres://ann:secret@host/db?schema=pg_secrets",
  ]) {
    await assert.rejects(openPostgresStore(url), (error: Error & { code: string }) => {
      assert.equal(error.code, "ARGUMENT_INVALID");
      assert.doesNotMatch(error.message, /secret[^s]/);
      return true;
    });
  }
});

test("a URL is shown without its password, however odd it is", () => {
  const shown = {
    "postgres://ann:secret@host:1/db?sslmode=require": "postgres://ann@host:1/db",
    "postgresql://ann:sec@ret@host/db": "postgresql://ann@host/db",
    "postgres://:secret@host/db": "postgres://host/db",
    "postgres://host/db?password=secret": "postgres://host/db",
    "postgres://ann:sec/ret@host/db": "postgres://ann@host/db",
    "postgres://ann:sec?ret@host/db": "postgres://ann@host/db",
    "postgres://ann:secret": "postgres://ann",
    "postgres://[::1]:5432/db": "postgres://[::1]:5432/db",
  };
  for (const [url, expected] of Object.entries(shown)) assert.equal(withoutPassword(url), expected);
});

// -- writing ----------------------------------------------------------------------------------------------------

for (const prepare of [true, false]) {
  test(`commits take one round trip, ${prepare ? "with" : "without"} prepared statements`, { skip }, async (t) => {
    const at = await place(t);
    const store = await owner(at, { prepare });
    at.proxy.delayMs = 20;
    const before = at.proxy.turnarounds;
    await store.commit({
      atMs,
      newProcesses: [process(3)],
      turns: [{ process: 1, turn: turn(1) }],
      operations: [operation(1, 1)],
      inbox: [{ process: 1, input: message, atMs }],
      links: [{ a: 1, b: 2 }],
    });
    assert.equal(at.proxy.turnarounds, before + 1);
    // Neither do several wait for each other, unless a pooler may be between.
    await Promise.all([2, 3, 4].map((number) => store.commit({ atMs, turns: [{ process: 1, turn: turn(number) }] })));
    assert.equal(at.proxy.turnarounds, before + 1 + (prepare ? 1 : 3));
  });
}

test("receipts and dead nodes do not pile up", { skip }, async (t) => {
  const at = await place(t);
  const store = await owner(at, { leaseMs: 1 });
  for (let round = 0; round < 4; round++) await Promise.all(Array.from({ length: 500 }, () => store.commit({ atMs })));
  const [row] = await at.byHand("SELECT count(*) AS count FROM ~.receipt");
  assert.ok(Number(row?.["count"]) < 1_600, String(row?.["count"]));
});

// -- the lease --------------------------------------------------------------------------------------------------

test(
  "a lease runs out by the database's clock, and its owner writes no more when another one has found that",
  { skip },
  async (t) => {
    const at = await place(t);
    const store = await owner(at, { leaseMs: 400 });
    const next = await at.direct();
    await next.claim(atMs);
    assert.deepEqual(await next.sharing.reap(atMs), []);
    assert.equal(await isPostgresStoreOwned(at.url, { schema: at.schema }), true);
    const dead = await eventually("the lease runs out", async () => {
      const found = await next.sharing.reap(atMs);
      return found.length > 0 ? found : undefined;
    });
    assert.deepEqual(dead, [1]);
    await assert.rejects(store.commit({ atMs }), { code: "STORE_FENCED" });
    await assert.rejects(store.renew(atMs), { code: "STORE_FENCED" });
    await next.release(atMs);
    assert.equal(await isPostgresStoreOwned(at.url, { schema: at.schema }), false);
  },
);

test("a node is dead when its commits under way are through, and later ones are refused", { skip }, async (t) => {
  const at = await place(t);
  const store = await owner(at);
  const next = await at.direct();
  await next.claim(atMs);
  await at.byHand("UPDATE ~.node SET expires_at = clock_timestamp() WHERE incarnation = 1");
  // The commit has passed the fence, and waits for a row.
  const holder = await Session.open(sessionOptions(at));
  t.after(() => holder.close());
  const say = (sql: string): Promise<unknown> => holder.run([step({ sql, types: [], once: true })]);
  await say("BEGIN");
  await say("SELECT 1 FROM ~.process WHERE key = 1 FOR UPDATE");
  const held = store.commit({ atMs, states: [{ process: 1, state: "paused", problem: "" }] });
  await eventually("the commit waits", () => waiting(at, 1));
  const reaping = next.sharing.reap(atMs);
  await eventually("whoever declares it dead waits too", () => waiting(at, 2));
  await say("COMMIT");
  await held;
  assert.deepEqual(await reaping, [1]);
  assert.equal((await next.getProcess(1))?.state, "paused");
  await assert.rejects(store.commit({ atMs }), { code: "STORE_FENCED" });
});

async function waiting(at: Place, count: number): Promise<boolean> {
  const [row] = await at.byHand("SELECT count(*) AS count FROM pg_locks WHERE NOT granted");
  return Number(row?.["count"]) >= count;
}

const sessionOptions = ({ url, schema }: Place): SessionOptions => ({
  address: parseAddress(url),
  schema,
  prepare: false,
  connectTimeoutMs: 10_000,
  responseTimeoutMs: 30_000,
});

test("renewals and commits keep a lease alive", { skip }, async (t) => {
  const at = await place(t);
  const store = await owner(at, { leaseMs: 1_000 });
  const next = await at.direct();
  await next.claim(atMs);
  const untilMs = Date.now() + 2_500;
  for (let n = 0; Date.now() < untilMs; n++) {
    await (n % 2 === 0 ? store.renew(atMs) : store.commit({ atMs }));
    assert.deepEqual(await next.sharing.reap(atMs), []);
  }
});

test("many may join at once", { skip }, async (t) => {
  const at = await place(t);
  const stores = await Promise.all(Array.from({ length: 6 }, () => at.direct()));
  const leases = await Promise.all(stores.map((store) => store.claim(atMs)));
  assert.deepEqual(new Set(leases.map(({ incarnation }) => incarnation)), new Set([1, 2, 3, 4, 5, 6]));
});

test("a store has as many shards as it was made with", { skip }, async (t) => {
  const at = await place(t);
  const numbers = async (store: PostgresStore): Promise<number[]> =>
    (await store.sharing.shards()).map(({ shard }) => shard);
  assert.deepEqual(await numbers(await at.direct({ shards: 3 })), [1, 2, 3]);
  assert.deepEqual(await numbers(await at.direct({ shards: 5 })), [1, 2, 3]);
  await assert.rejects(at.direct({ shards: 0 }), { code: "ARGUMENT_INVALID" });
  assert.equal((await numbers(await (await place(t)).direct())).length, 16);
});

test("an idle node's look for what has become its own takes index lookups only", { skip }, async (t) => {
  const at = await place(t);
  const store = await owner(at);
  // A hundred thousand sleepers, and as many inputs that wait for them.
  await at.byHand(`INSERT INTO ~.timer (process, number, shard, clock, due_ms)
    SELECT 1, n, n % 16 + 1, 'wall', 1e15 + n FROM generate_series(1, 100000) AS n`);
  await at.byHand(`INSERT INTO ~.inbox (process, at_ms, crc, input, shard, posted)
    SELECT 1, 0, 0, '', n % 16 + 1, n FROM generate_series(1, 100000) AS n`);
  await at.byHand("UPDATE ~.shard SET posted = 100000");
  await at.byHand("ANALYZE ~.timer");
  await at.byHand("ANALYZE ~.inbox");
  const shards = (await store.sharing.shards()).map(({ shard }) => shard);
  const looks: readonly (readonly [Statement, ...(string | number | readonly number[])[]])[] = [
    [queries.posted, 1, shards, shards.map(() => 100_000), 500],
    [queries.timersDue, 1, "wall", 0, atMs, 5_000],
  ];
  for (const [{ sql, types }, ...values] of looks) {
    const literal = (i: number): string =>
      `CAST('${Array.isArray(values[i]) ? `{${values[i].join()}}` : String(values[i])}' AS ${types[i]})`;
    const filled = sql.replaceAll(/\$(\d)/g, (_, n) => literal(Number(n) - 1));
    const lines = await at.byHand(`EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) ${filled}`);
    const plan = lines.map((row) => String(row["QUERY PLAN"])).join("\n");
    assert.match(plan, /Index (?:Only )?Scan using (?:timer_by_due|inbox_by_number)/);
    assert.doesNotMatch(plan, /Seq Scan on (?:timer|inbox|process)|Rows Removed by Filter/, plan);
  }
});

// -- hints ------------------------------------------------------------------------------------------------------

test(
  "whoever wants to poll is told at once of what others post for its shards, and of nothing else",
  { skip },
  async (t) => {
    const at = await place(t);
    const store = await owner(at);
    let hints = 0;
    store.sharing.listen(() => hints++);
    // The first one says that it listens.
    await eventually("it listens", () => hints === 1);
    await store.commit({ atMs, newProcesses: [anyProcess(3, { shard: 2 })] });
    await store.commit({ atMs, inbox: [{ process: 1, input: message, atMs }] });
    const other = await at.direct({ mode: "reader" });
    const away = { atMs, links: [], monitors: [], cut: [], refused: [], notified: [], moved: [], yielded: [2] };
    await store.commit({ atMs, away });
    await other.post("p3", message, atMs);
    await other.post("p1", message, atMs);
    await eventually("a hint", () => hints === 2);
    // Its line may break.
    at.proxy.cutAll();
    await eventually("it listens again", () => hints === 3);
    await other.post("p1", message, atMs);
    await eventually("another hint", () => hints === 4);
    assert.equal((await store.sharing.posted(9)).length, 2);
  },
);

// -- damage -----------------------------------------------------------------------------------------------------

test("a damaged row is JOURNAL_CORRUPT of its process alone", { skip }, async (t) => {
  const at = await place(t);
  const store = await owner(at);
  await store.commit({
    atMs,
    turns: [1, 2].flatMap((key) => [1, 2].map((number) => ({ process: key, turn: turn(number) }))),
    operations: [operation(1, 1), operation(2, 1)],
  });
  await at.byHand("UPDATE ~.journal SET body = body || '\\x00' WHERE process = 1 AND turn = 2");
  await at.byHand("UPDATE ~.operation SET name = 'other' WHERE process = 1");
  await assert.rejects(store.turns(1, 1, 9), { code: "JOURNAL_CORRUPT", message: /Turn 2 of process p1 is damaged/ });
  await assert.rejects(store.load(1), { code: "JOURNAL_CORRUPT" });
  assert.equal((await store.turns(2, 1, 9)).length, 2);
  assert.equal((await store.load(2)).lastTurn, 2);
  const { operations, damaged } = await store.recover();
  assert.deepEqual([operations.map((row) => row.process), damaged.map((row) => row.process)], [[2], [1]]);
});

test("an audit finds nothing in a whole store, and what was damaged in another", { skip }, async (t) => {
  const at = await place(t);
  const store = await owner(at);
  await store.putBlob("x".repeat(64), new Uint8Array(3));
  await store.commit({ atMs, turns: [1, 2, 3].map((number) => ({ process: 1, turn: turn(number) })) });
  const audit = async (): Promise<string[]> => {
    const found: StoreFault[] = [];
    await store.audit(
      (fault) => found.push(fault),
      () => undefined,
    );
    return found.map(({ rule, process: key }) => `${rule} ${key ?? ""}`.trim());
  };
  assert.deepEqual(await audit(), ["blob"]);
  await at.byHand("DELETE FROM ~.blob");
  assert.deepEqual(await audit(), []);
  await at.byHand("DELETE FROM ~.journal WHERE turn = 2");
  await at.byHand("UPDATE ~.journal SET crc = 1 WHERE turn = 1");
  await at.byHand("INSERT INTO ~.timer VALUES (9, 1, 1, 'wall', 0)");
  assert.deepEqual((await audit()).toSorted(), ["journal-gap 1", "journal-row 1", "owner"]);
  await byHand(at.url, `DROP TABLE "${at.schema}".timer`);
  await assert.rejects(audit(), { code: "STORE_CORRUPT" });
});

test("a store that a newer release has had meanwhile is not claimed", { skip }, async (t) => {
  const at = await place(t);
  const store = await at.direct();
  await at.byHand(`UPDATE ~.meta SET schema_version = ${schemaVersion + 1}`);
  await assert.rejects(store.claim(atMs), { code: "STORE_NEWER" });
  await at.byHand(`UPDATE ~.meta SET schema_version = ${schemaVersion}`);
  assert.equal((await store.claim(atMs)).incarnation, 1);
});

test("a lease is as long as the URL says, and its owner is told how often to renew it", { skip }, async (t) => {
  const at = await place(t);
  const url = `${at.url}?schema=${at.schema}`;
  const claim = async (more: string): Promise<number | undefined> => {
    const store = await openPostgresStore(`${url}${more}`);
    t.after(() => store.close());
    const { renewMs } = await store.claim(atMs);
    await store.release(atMs);
    return renewMs;
  };
  assert.deepEqual([await claim(""), await claim("&lease=3s")], [3_334, 1_000]);
  const rows = await at.byHand("SELECT lease_ms FROM ~.node ORDER BY incarnation");
  assert.deepEqual(
    rows.map((row) => row["lease_ms"]),
    [10_000, 3_000],
  );
  for (const lease of ["nonsense", "10", "999ms", ""])
    await assert.rejects(claim(`&lease=${lease}`), { code: "ARGUMENT_INVALID", message: /its lease is "/ });
});

// -- processes that leave -------------------------------------------------------------------------------------

const exported = { file: "f1", sha256: "ab".repeat(32), serviceMs: 0, inboxSeq: 0 };

test("what is left of an exported process is not handed out once it is damaged", { skip }, async (t) => {
  const at = await place(t);
  const store = await owner(at);
  await store.commit({ atMs, departures: [{ process: 1, exported }] });
  assert.equal((await store.exported("p1"))?.file, "f1");
  await at.byHand("UPDATE ~.exported SET body = convert_to(replace(convert_from(body, 'UTF8'), 'f1', 'f2'), 'UTF8')");
  for (const look of [() => store.exported("p1"), () => store.exports(9), () => store.post("p1", message, atMs)])
    await assert.rejects(look(), { code: "JOURNAL_CORRUPT", message: /left of the exported process p1 is damaged/ });
  const faults: StoreFault[] = [];
  await store.audit(
    (fault) => faults.push(fault),
    () => undefined,
  );
  assert.deepEqual(
    faults.map(({ rule }) => rule),
    ["tombstone"],
  );
});

test(
  "what is posted while a process leaves goes with it, or is refused; a letter is taken or stays",
  { skip },
  async (t) => {
    const at = await place(t);
    const store = await owner(at);
    const readers = await Promise.all([1, 2, 3].map(() => at.direct({ mode: "reader", readers: 2 })));
    let late = 0;
    let refused = 0;
    for (let key = 11; key <= 40; key++) {
      await store.commit({
        atMs,
        newProcesses: [anyProcess(key, { shard: 1 })],
        deadLetters: [deadLetter(key, "x"), deadLetter(key, "y")],
      });
      const seqs = (await store.deadLetters(key, 0, 9)).map(({ seq }) => seq);
      const posting = Promise.allSettled(
        readers.flatMap((reader) => [1, 2].map(() => reader.post(`p${key}`, message, atMs))),
      );
      const taking = Promise.all(seqs.map(async (seq, n) => await readers[n]?.takeDeadLetter(seq, "p2", atMs)));
      // Before them, among them, or after them.
      if (key % 3 !== 0) await readers[0]?.countProcesses();
      await store.commit({ atMs, departures: [{ process: key, exported }] });
      const stays = await store.exported(key);
      const outcomes = await posting;
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") assert.equal((outcome.reason as { code: string }).code, "PROCESS_EXPORTED");
      }
      const kept = outcomes.filter(({ status }) => status === "fulfilled").length;
      assert.equal(stays?.late.length, kept);
      late += kept;
      refused += outcomes.length - kept;
      const taken = await taking;
      assert.deepEqual(
        stays?.letters,
        seqs.filter((_, n) => taken[n] !== true),
      );
    }
    t.diagnostic(`${late} inputs went with their processes, ${refused} were refused`);
    assert.equal((await store.inbox(11)).length, 0);
  },
);
