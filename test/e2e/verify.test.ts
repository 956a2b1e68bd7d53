/** `perdure verify`: a whole store passes, also beside a running node; each kind of damage is found, and whose it is. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { Engine } from "perdure/engine";
import type { ProcessHandle } from "perdure/engine";
import { decodeTurn, encodeTurn } from "../../src/journal/encoding.ts";
import { verifyStore } from "../../src/engine/verify/verify.ts";
import type { VerifyOptions, VerifyReport } from "../../src/engine/verify/verify.ts";
import { checksum } from "../../src/store/checksum.ts";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";

const adders = new URL("../fixtures/adders/app.ts", import.meta.url);
const supervised = new URL("../fixtures/supervision/app.ts", import.meta.url);
let folder = "";
let whole = "";

async function verify(store: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const reader = await openSqliteStore(store, { mode: "reader" });
  try {
    return await verifyStore(reader, options);
  } finally {
    await reader.close();
  }
}

const turnsReach = async (handle: ProcessHandle, turns: number): Promise<void> => {
  for (const deadline = Date.now() + 20_000; (await handle.status()).turns < turns;) {
    assert.ok(Date.now() < deadline, "it comes so far within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

/** Processes that wait, wait for an operation or a timer, have a snapshot, a checkpoint and another life, ended well and badly. */
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "perdure-verify-"));
  whole = path.join(folder, "whole.db");
  {
    await using engine = await Engine.open({ store: whole, program: supervised, onLog: () => undefined });
    await (await engine.start("travels", [])).result();
  }
  await using engine = await Engine.open({ store: whole, program: adders });
  const worker = await engine.start("worker", [], { id: "worker" });
  for (let turn = 2; turn < 6; turn++) {
    await worker.send(300_000);
    await turnsReach(worker, turn);
  }
  const adder = await engine.start("default", [], { id: "adder" });
  for (let number = 1; number < 5; number++) {
    await adder.send(number);
    await turnsReach(adder, 1 + 2 * number);
  }
  const done = await engine.start("default", [], { id: "done" });
  for (const number of [1, 2, 0]) await done.send(number);
  await done.result();
  const killed = await engine.start("default", [], { id: "killed" });
  await killed.kill();
  await killed.result().catch(() => undefined);
  for (const entry of ["slow", "sleeper"]) await turnsReach(await engine.start(entry, [], { id: entry }), 1);
});
after(() => rmSync(folder, { recursive: true, force: true }));

const of = (pid: string): string => `process = (SELECT key FROM process WHERE pid = '${pid}')`;

let copies = 0;
function damaged(sql: string): string {
  const store = path.join(folder, `damaged-${++copies}.db`);
  copyFileSync(whole, store);
  const db = new DatabaseSync(store, { enableForeignKeyConstraints: false });
  db.function("flipped", (body: unknown) => {
    const bytes = Buffer.from(body as Uint8Array);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    return bytes;
  });
  const { total_changes: before } = db.prepare("SELECT total_changes() AS total_changes").get() as {
    total_changes: number;
  };
  db.exec(sql);
  const { total_changes: now } = db.prepare("SELECT total_changes() AS total_changes").get() as {
    total_changes: number;
  };
  assert.ok(now > before, "something was damaged");
  db.close();
  return store;
}

test("a whole store is found to be whole, its processes replay, and not a byte of it changes", async () => {
  const bytes = readFileSync(whole);
  const { findings, processes, turns, replayedProcesses, replayedTurns, notReplayed } = await verify(whole);
  assert.deepEqual(findings, []);
  assert.deepEqual([replayedProcesses, replayedTurns, notReplayed], [processes, turns, {}]);
  assert.ok(turns > 40);
  const db = new DatabaseSync(whole);
  for (const table of ["snapshot", "timer", "operation", "restore"])
    assert.notEqual(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"], 0, table);
  db.close();
  assert.ok(readFileSync(whole).equals(bytes));
});

test("beside a node at work nothing is found that is not wrong", async () => {
  const store = path.join(folder, "busy.db");
  copyFileSync(whole, store);
  await using engine = await Engine.open({ store, program: adders });
  const adder = engine.get("adder");
  let stopped = false;
  const work = (async () => {
    for (let number = 1; !stopped; number++) {
      await adder.send(number);
      const other = await engine.start("default", []);
      await other.send(1);
      await other.send(0);
      await other.result();
    }
  })();
  const reports = [await verify(store), await verify(store)];
  stopped = true;
  await work;
  for (const { findings } of reports) assert.deepEqual(findings, []);
});

describe("damage", () => {
  const cases: readonly (readonly [what: string, sql: string, rule: string, pid: string, detail: RegExp])[] = [
    [
      "a turn's bytes",
      `UPDATE journal SET body = flipped(body) WHERE turn = 3 AND ${of("adder")}`,
      "journal-row",
      "adder",
      /[Tt]urn 3/,
    ],
    [
      "a turn that is gone",
      `DELETE FROM journal WHERE turn = 3 AND ${of("adder")}`,
      "journal-gap",
      "adder",
      /turn 4 stands where turn 3/,
    ],
    [
      "two turns in each other's place",
      `UPDATE journal SET turn = 1000 WHERE turn = 3 AND ${of("adder")}; UPDATE journal SET turn = 3 WHERE turn = 4 AND ${of("adder")};
       UPDATE journal SET turn = 4 WHERE turn = 1000`,
      "journal-row",
      "adder",
      /turn 3: its bytes/,
    ],
    [
      "a turn's time",
      `UPDATE journal SET at_ms = at_ms + 5 WHERE turn = 2 AND ${of("done")}`,
      "journal-row",
      "done",
      /its row says/,
    ],
    [
      "a pending operation that is gone",
      `DELETE FROM operation WHERE ${of("slow")}`,
      "operation",
      "slow",
      /neither pending nor/,
    ],
    [
      "an operation of nobody's",
      `UPDATE operation SET process = 999`,
      "owner",
      "",
      /table operation has rows of process number 999/,
    ],
    [
      "an operation's arguments",
      `UPDATE operation SET args = flipped(args) WHERE ${of("slow")}`,
      "row",
      "slow",
      /Operation 1/,
    ],
    [
      "a timer that nobody set",
      `INSERT INTO timer VALUES ((SELECT key FROM process WHERE pid = 'adder'), 77, 'wall', 5)`,
      "timer",
      "adder",
      /timer 77/,
    ],
    ["a timer that is gone", `DELETE FROM timer WHERE ${of("sleeper")}`, "timer", "sleeper", /which is not set/],
    [
      "what an exited process left",
      `INSERT INTO timer VALUES ((SELECT key FROM process WHERE pid = 'done'), 1, 'wall', 5)`,
      "leftover",
      "done",
      /timer/,
    ],
    [
      "an end that the journal does not know",
      `UPDATE process SET state = 'exited', exited_at_ms = 5, exit_reason = 'normal', exit_value = x'000275' WHERE pid = 'adder'`,
      "exit",
      "adder",
      /no turn of it says so/,
    ],
    [
      "another end than the journal's",
      `UPDATE process SET exit_reason = 'shutdown' WHERE pid = 'done'`,
      "exit",
      "done",
      /shutdown/,
    ],
    [
      "an end that is forgotten",
      `UPDATE process SET state = 'running', exited_at_ms = NULL WHERE pid = 'killed'`,
      "exit",
      "killed",
      /ended it \(killed\)/,
    ],
    [
      "a link to one that has ended",
      `INSERT INTO link SELECT min(key), max(key) FROM process WHERE pid IN ('done', 'adder')`,
      "leftover",
      "done",
      /link/,
    ],
    ["a name of nobody", `INSERT INTO name VALUES ('x', 999)`, "owner", "", /table name/],
    [
      "a program that is gone",
      `DELETE FROM blob WHERE hash = (SELECT bundle FROM program LIMIT 1)`,
      "program",
      "",
      /bundle/,
    ],
    [
      "a blob that is another",
      `UPDATE blob SET bytes = flipped(bytes) WHERE hash = (SELECT prelude FROM program LIMIT 1)`,
      "blob",
      "",
      /has bytes of the hash/,
    ],
    [
      "a snapshot's bytes",
      `UPDATE snapshot SET body = flipped(body) WHERE ${of("worker")}`,
      "snapshot",
      "worker",
      /checksum/,
    ],
    [
      "a snapshot of a turn to come",
      `UPDATE snapshot SET turn = turn + 100 WHERE ${of("worker")}`,
      "snapshot",
      "worker",
      /its last is/,
    ],
    ["a life that begins elsewhere", `UPDATE restore SET from_turn = from_turn - 1`, "row", "", /restore/],
    ["a life that is forgotten", `DELETE FROM restore`, "restore", "", /nothing says from which heap/],
    ["a state", `UPDATE process SET state = 'broken', problem = 'lost' WHERE pid = 'adder'`, "broken", "adder", /lost/],
    [
      "a column that holds what no release writes",
      `UPDATE process SET state = 'asleep' WHERE pid = 'adder'`,
      "row",
      "",
      /state/,
    ],
  ];
  for (const [what, sql, rule, pid, detail] of cases) {
    test(`${what}: found`, async () => {
      const { findings } = await verify(damaged(sql), { replay: rule === "snapshot" });
      const found = findings.filter((finding) => finding.rule === rule && detail.test(finding.detail));
      assert.ok(found.length > 0, JSON.stringify(findings, undefined, 1));
      if (pid !== "") assert.deepEqual([...new Set(found.map((finding) => finding.pid))], [pid]);
    });
  }
});

test("a command that is not the one that was issued is found by replay, side by side with the one that is", async () => {
  const store = damaged(`DELETE FROM snapshot`);
  const db = new DatabaseSync(store);
  const row = db.prepare(`SELECT seq, process, body FROM journal WHERE turn = 2 AND ${of("adder")}`).get();
  const turn = decodeTurn(row?.["body"] as Uint8Array);
  const commands = turn.commands.map((command) => ({ ...command, digest: "0123456789abcdef" }));
  const body = encodeTurn({ ...turn, commands });
  db.prepare("UPDATE journal SET body = ?, crc = ? WHERE seq = ?").run(
    body,
    checksum(body, Number(row?.["process"]), 2),
    Number(row?.["seq"]),
  );
  db.close();
  const { findings } = await verify(store);
  assert.deepEqual(
    findings.map(({ rule, pid }) => [rule, pid]),
    [["replay", "adder"]],
  );
  assert.match(findings[0]?.detail ?? "", /turn 2 gives, as command 1, operation .*identity .* \(0123456789abcdef\)$/);
});

test("turns that an index hides are found", async () => {
  const store = damaged(`UPDATE process SET label = 'x' WHERE pid = 'adder'`);
  const db = new DatabaseSync(store);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const page = Number(
    db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'journal_by_turn'").get()?.["rootpage"],
  );
  db.close();
  // The number of cells on the index's page: one less, and the last entry is out of sight.
  const bytes = readFileSync(store);
  const at = (page - 1) * 4096 + 3;
  bytes.writeUInt16BE(bytes.readUInt16BE(at) - 1, at);
  writeFileSync(store, bytes);
  const { findings } = await verify(store, { replay: false });
  const kinds = new Set(findings.map(({ rule }) => rule));
  assert.ok(kinds.has("journal-index") && kinds.has("file"), JSON.stringify(findings));
});
