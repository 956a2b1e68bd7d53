/** The command line, invoked for real, on stores at rest and beside running nodes. */
import assert from "node:assert/strict";
import { readFile, rename } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import { Shop } from "./support/cli.ts";
import { files, quick, stoppedShop } from "./support/shop.ts";

describe("a store at rest", quick, () => {
  test("ps, show, history, logs, result and programs say what there is", async (t) => {
    const shop = await stoppedShop(t);
    await shop.run("run", "app.ts", "fail", "--id", "failed");
    const table = await shop.run("ps");
    const [title, failed, order] = table.stdout.split("\n");
    assert.match(title ?? "", /^PID +STATE +ENTRY +STARTED +TURNS +WAITS FOR, OR ENDED WITH$/);
    assert.match(failed ?? "", /^failed +error +fail +(?:just now|\d+s ago) +1 +TypeError: no such order$/);
    assert.match(order ?? "", /^order-7 +running +default +(?:just now|\d+s ago) +2 +a message$/);
    assert.equal(table.stderr, "No node is running. 1 process goes on with: perdure resume\n");
    const show = await shop.run("show", "order-7");
    assert.match(
      show.stdout,
      /^order-7 {2}running\n {2}entry {5}default\n {2}program {3}app\.ts {2}[0-9a-f]{12}\n {2}started {3}.*\n {2}turns {5}2\n\nWaits for\n {2}a message\n/,
    );
    assert.match(
      (await shop.run("show", "failed")).stdout,
      /\nError\n {2}TypeError: no such order\n {6}at fail \(app\.ts:23:\d+\)\n {4}caused by Error: 404\n[^]*\nWas told last\n {2}start fail {2}\(\)\n/,
    );
    assert.equal(
      (await shop.run("history", "order-7")).stdout.replace(/^(turn \d+) {2}.*$/gm, "$1"),
      `turn 1
  ← start default  ('order-7', 4200)
  → console.log
  → warehouse.ts#charge #1
turn 2
  ← result of warehouse.ts#charge #1  4201
  → console.warn
`,
    );
    assert.match(
      (await shop.run("logs", "order-7")).stdout,
      /^[\d-]+ [\d:.]+ order order-7\n[\d-]+ [\d:.]+ charged\n$/,
    );
    const result = await shop.run("result", "order-7", "--wait");
    assert.equal(result.code, 3);
    assert.equal(
      result.stderr,
      "Process order-7 has not ended. No node is running. Go on with: perdure resume --pid order-7\n",
    );
    assert.match(
      (await shop.run("programs")).stdout,
      /^HASH +CREATED +PROCESSES +UNFINISHED +FILE\n[0-9a-f]{12} +.* +2 +1 +app\.ts\n$/,
    );
  });

  test("--json shows the same as documents of stable shapes", async (t) => {
    const shop = await stoppedShop(t);
    const [row] = await shop.json("ps");
    assert.deepEqual(Object.keys(row), [
      "pid",
      "state",
      "entry",
      "program",
      "problem",
      "startedAtMs",
      "parent",
      "label",
      "role",
      "restarts",
      "names",
      "needs",
      "lacks",
      "turns",
      "life",
      "links",
      "monitors",
      "operations",
      "timers",
      "inbox",
    ]);
    const show = await shop.json("show", "order-7");
    assert.deepEqual(Object.keys(show), [
      "pid",
      "state",
      "entry",
      "program",
      "problem",
      "startedAtMs",
      "parent",
      "label",
      "role",
      "restarts",
      "names",
      "needs",
      "lacks",
      "turns",
      "life",
      "links",
      "monitors",
      "operations",
      "timers",
      "inbox",
      "deadLetters",
      "file",
    ]);
    assert.equal(show.file, path.join(shop.folder, "app.ts"));
    const turns = (await shop.run("history", "order-7", "--json", "--from", "2")).stdout.trimEnd().split("\n");
    assert.equal(turns.length, 1);
    const { timeMs, commands, ...turn } = JSON.parse(turns[0] ?? "");
    assert.deepEqual(turn, { turn: 2, inputs: [{ kind: "result", operation: 1, ok: true, value: 4201 }] });
    assert.deepEqual(
      [typeof timeMs, commands.length, Object.keys(commands[0])],
      ["number", 1, ["kind", "target", "digest"]],
    );
    const [log] = (await shop.run("logs", "--json")).stdout.split("\n");
    assert.deepEqual(Object.keys(JSON.parse(log ?? "")), ["seq", "pid", "turn", "atMs", "level", "text"]);
    assert.deepEqual(await shop.json("result", "order-7"), { pid: "order-7", state: "running" });
    const [program] = await shop.json("programs");
    assert.deepEqual(Object.keys(program), ["hash", "file", "createdAtMs", "processes", "unfinished"]);
    assert.deepEqual(await shop.json("send", "order-7", "yes"), {
      pid: "order-7",
      posted: "message",
      nodeRunning: false,
    });
  });

  test("a message with a key is sent once, and another one under it is a conflict", async (t) => {
    const shop = await stoppedShop(t);
    const first = await shop.run("send", "order-7", "yes", "--key", "mail 1");
    assert.match(first.stderr, /^Message sent to order-7\. /);
    const second = await shop.run("send", "order-7", "yes", "--key", "mail 1");
    assert.deepEqual(
      [second.code, second.stderr],
      [0, 'order-7 was sent this before, under the key "mail 1": nothing was done.\n'],
    );
    const other = await shop.run("send", "order-7", "no", "--key", "mail 1");
    assert.notEqual(other.code, 0);
    assert.match(
      other.stderr,
      /KEY_CONFLICT[^]*"mail 1" was used before with order-7, for the message 'yes' at .*, and now for the message 'no'/,
    );
    assert.match(
      (await shop.run("show", "order-7")).stdout,
      /\nInbox\n {2}message under the key "mail 1", .* 'yes'\n$/m,
    );
    await shop.run("resume");
    assert.deepEqual(await shop.json("send", "order-7", "yes", "--key", "mail 1"), {
      pid: "order-7",
      posted: "message",
      nodeRunning: false,
      key: "mail 1",
      isNew: false,
    });
    assert.match((await shop.run("history", "order-7")).stdout, /← message under the key "mail 1" {2}'yes'\n/);
  });

  test("messages wait in the inbox, and resume takes them", async (t) => {
    const shop = await stoppedShop(t);
    const sent = await shop.run("send", "order-7", "yes");
    assert.equal(
      sent.stderr,
      "Message sent to order-7. No node is running: it takes effect with the next one, such as: perdure resume\n",
    );
    assert.match((await shop.run("show", "order-7")).stdout, /\nInbox\n {2}message, .* 'yes'\n/);
    const resumed = await shop.run("resume");
    assert.equal(resumed.code, 0);
    assert.equal(
      resumed.stderr,
      "perdure: going on with 1 unfinished process\nperdure: process order-7 ended normally: { id: 'order-7', receipt: 4201, approval: 'yes' }\n",
    );
    const result = await shop.run("result", "order-7");
    assert.deepEqual([result.code, result.stdout], [0, "{ id: 'order-7', receipt: 4201, approval: 'yes' }\n"]);
    const mistaken = await shop.run("resume", "order-7");
    assert.equal(mistaken.code, 2);
    assert.match(mistaken.stderr, /order-7 is no file but a process\. Did you mean: perdure resume --pid order-7\n$/);
    const nothing = await shop.run("resume");
    assert.deepEqual([nothing.code, nothing.stderr], [0, "perdure: nothing is unfinished.\n"]);
    const late = await shop.run("send", "order-7", "again");
    assert.equal(late.code, 1);
    assert.match(late.stderr, /^perdure: PROCESS_EXITED: /);
    assert.equal(await readFile(path.join(shop.folder, "charges.txt"), "utf8"), "order-7\n");
  });

  test("cancel and kill take effect with the next node, which ends with exit code 1", async (t) => {
    const shop = await stoppedShop(t);
    assert.match(
      (await shop.run("cancel", "order-7", "--reason", "out of stock")).stderr,
      /^Process order-7 is asked to wind up\. No node is running/,
    );
    const resumed = await shop.run("resume", "--pid", "order-7");
    assert.equal(resumed.code, 1);
    assert.match(
      resumed.stderr,
      /PROCESS_CANCELLED: The process "order-7" ended with cancelled: CancelledError: out of stock/,
    );
    const { code, stdout } = await shop.run("result", "order-7", "--json");
    assert.deepEqual([code, JSON.parse(stdout).reason], [1, "cancelled"]);
    assert.match((await shop.run("ps", "--state", "cancelled")).stdout, /order-7 +cancelled/);
    assert.equal((await shop.run("ps", "--state", "running")).stderr, "None of 1 process is like that.\n");
  });

  test("resume --json: lines of logs and ends", async (t) => {
    const shop = await stoppedShop(t);
    await shop.run("kill", "order-7");
    const { code, stdout } = await shop.run("resume", "--json");
    assert.equal(code, 1);
    assert.deepEqual(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
      [
        {
          kind: "exit",
          pid: "order-7",
          reason: "killed",
          error: { name: "", message: "Killed by the operator.", thrown: "Killed by the operator." },
        },
      ],
    );
  });

  test("resume without the program's file runs what needs no host code, and says what is missing", async (t) => {
    const shop = await Shop.open(t, files);
    const running = shop.start("run", "app.ts", "default", "--id", "order-7", "--store", "shop.db");
    await running.printed("charged");
    running.kill("SIGKILL");
    await running.ended;
    await rename(path.join(shop.folder, "app.ts"), path.join(shop.folder, "moved.ts"));
    await shop.run("send", "order-7", "1", "--store", "shop.db");
    const { code, stderr } = await shop.run("resume", "--store", "shop.db");
    assert.equal(code, 0);
    assert.match(stderr, /^perdure: app\.ts is gone, so operations of its processes wait\.\n/);
  });
});

describe("beside a running node", quick, () => {
  test("everything that looks and posts works, and takes effect at once", async (t) => {
    const shop = await stoppedShop(t);
    const node = shop.start("resume");
    await node.printed("going on with 1 unfinished process");
    const table = await shop.run("ps");
    assert.match(table.stdout, /order-7 +running .* a message\n$/);
    assert.equal(table.stderr, "");
    const waiting = shop.start("result", "order-7", "--wait");
    const following = shop.start("logs", "order-7", "--follow");
    await following.printed("charged");
    assert.deepEqual(await shop.json("send", "order-7", '"now"'), {
      pid: "order-7",
      posted: "message",
      nodeRunning: true,
    });
    assert.deepEqual(await waiting.ended, {
      code: 0,
      signal: null,
      stdout: "{ id: 'order-7', receipt: 4201, approval: 'now' }\n",
      stderr: "",
    });
    assert.equal((await following.ended).code, 0);
    const { code, stderr } = await node.ended;
    assert.equal(code, 0);
    assert.match(stderr, /perdure: process order-7 ended normally/);
  });

  test("kill ends a process at once; result tells a process that has not ended", async (t) => {
    const shop = await stoppedShop(t);
    const node = shop.start("resume", "--pid", "order-7");
    await node.printed("going on");
    const unfinished = await shop.run("result", "order-7");
    assert.deepEqual(
      [unfinished.code, unfinished.stderr],
      [3, "Process order-7 has not ended. Wait for it with --wait.\n"],
    );
    assert.match(
      (await shop.run("kill", "order-7")).stderr,
      /^Process order-7 is to be killed\. A node is running: it takes effect now\.\n$/,
    );
    const { code, stderr } = await node.ended;
    assert.equal(code, 1);
    assert.match(stderr, /PROCESS_KILLED: The process "order-7" ended with killed: Killed by the operator\.\n$/);
  });

  test("show and history say what became of operations that nobody waits for any more", async (t) => {
    const shop = await Shop.open(t, {
      "app.ts": `import { receive } from "perdure"; import { ring } from "./bell.ts";
        export default async function () { void ring(); console.log("ringing"); await receive(); }`,
      "bell.ts": `"use host"; export async function ring() { await new Promise(() => setTimeout(() => {}, 60_000)); }`,
    });
    const node = shop.start("run", "app.ts", "--id", "door");
    await node.printed("ringing");
    await shop.run("kill", "door");
    assert.equal((await node.ended).code, 1);
    const dropped = "operation #1 bell.ts#ring: aborted while running, attempt 1; it may have happened";
    assert.ok((await shop.run("show", "door")).stdout.includes(`\nLeft behind\n  ${dropped}\n`));
    assert.ok((await shop.run("history", "door")).stdout.endsWith(`\n  × ${dropped}\n`));
    const document = [{ operation: 1, name: "bell.ts#ring", state: "running", attempt: 1 }];
    assert.deepEqual((await shop.json("show", "door")).dropped, document);
    assert.deepEqual((await shop.json("history", "door", "--from", "2")).dropped, document);
  });

  test("a second node is refused", async (t) => {
    const shop = await stoppedShop(t);
    const node = shop.start("resume");
    await node.printed("going on");
    const second = await shop.run("run", "app.ts");
    assert.equal(second.code, 1);
    assert.match(second.stderr, /^perdure: STORE_IN_USE: /);
    node.kill("SIGINT");
    const { code, stderr } = await node.ended;
    assert.equal(code, 130);
    assert.match(stderr, /perdure: stopped\. 1 process is not finished\. Go on with:\n {2}perdure resume\n$/);
  });
});
