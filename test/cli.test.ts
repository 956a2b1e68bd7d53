/** The command line, invoked for real: what is run, and what goes wrong. Its parts are tested beside them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { createCli } from "../src/cli/cli.ts";
import { Shop } from "./support/cli.ts";
import { files, quick, stoppedShop } from "./support/shop.ts";

describe("perdure run", quick, () => {
  test("prints what the program prints, by level, and then its result", async (t) => {
    const shop = await Shop.open(t, files);
    const { code, stdout, stderr } = await shop.run("run", "app.ts", "add", "2", "3");
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "adding\n{ sum: 5 }\n", stderr: "carefully\n" });
    assert.ok(existsSync(path.join(shop.folder, "perdure.db")));
  });

  test("takes arguments as JSON where they are JSON, prints texts as they are and nothing for no result", async (t) => {
    const shop = await Shop.open(t, files);
    assert.equal((await shop.run("run", "app.ts", "hello", "-5")).stdout, "hello number -5\n");
    assert.equal((await shop.run("run", "app.ts", "hello", "5", "--string")).stdout, "hello string 5\n");
    assert.equal((await shop.run("run", "app.ts", "nothing")).stdout, "");
  });

  test("--json: one document on standard output, all else on standard error", async (t) => {
    const shop = await Shop.open(t, files);
    const added = await shop.run("run", "app.ts", "add", "2", "3", "--json");
    const { pid, ...rest } = JSON.parse(added.stdout) as Record<string, unknown>;
    assert.match(String(pid), /^[0-9a-z]{20}$/);
    assert.deepEqual(rest, { reason: "normal", value: { sum: 5 } });
    assert.equal(added.stderr, "adding\ncarefully\n");
    const several = await shop.json("run", "app.ts", "several");
    assert.deepEqual(several.value.slice(0, 3), [
      { $date: "1970-01-01T00:00:00.000Z" },
      { $map: [["a", { $bigint: "1" }]] },
      { $undefined: true },
    ]);
    assert.match(several.value[3].$error.stack, /^Error: inner\n {4}at several \(app\.ts:27:\d+\)$/);
  });

  test("a program that fails: exit code 1, its error with the stack in its own files", async (t) => {
    const shop = await Shop.open(t, files);
    const { code, stdout, stderr } = await shop.run("run", "app.ts", "fail", "--id", "order-7");
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(
      stderr,
      /^perdure: PROCESS_FAILED: The process "order-7" ended with error: TypeError: no such order\n {4}at fail \(app\.ts:23:\d+\)\n {2}caused by Error: 404\n {6}at fail \(app\.ts:23:\d+\)\n$/,
    );
    const { pid, reason, error } = await shop.json("run", "app.ts", "fail", "--id", "order-7");
    assert.deepEqual(
      { pid, reason, name: error.name, message: error.message },
      { pid: "order-7", reason: "error", name: "TypeError", message: "no such order" },
    );
    assert.match(error.stack, /^TypeError: no such order\n {4}at fail \(app\.ts:23:\d+\)$/);
    assert.equal(error.cause.$error.message, "404");
  });

  test("a file without a default export is the program itself", async (t) => {
    const script =
      'console.log("one");\nawait new Promise((resolve) => setTimeout(resolve, 20));\nconsole.log("two");\nexport {};\n';
    const shop = await Shop.open(t, { "script.ts": script });
    const { code, stdout } = await shop.run("run", "script.ts");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "one\ntwo\n" });
  });

  test("--env lets the program see a variable, and says so if there is none of that name", async (t) => {
    const shop = await Shop.open(t, files, { COLOUR: "red" });
    assert.equal((await shop.run("run", "app.ts", "env")).stdout, "unseen\n");
    const { stdout, stderr } = await shop.run("run", "app.ts", "env", "--env", "COLOUR", "--env", "SHAPE", "--new");
    assert.equal(stdout, "red\n");
    assert.match(stderr, /--env SHAPE: there is no such variable/);
  });

  test("after kill -9 the same command goes on where the process was", async (t) => {
    const shop = await Shop.open(t, files);
    const words = ["run", "app.ts", "default", "order-7", "4200"];
    const first = shop.start(...words);
    await first.printed("charged");
    first.kill("SIGKILL");
    await first.ended;
    const second = shop.start(...words);
    await second.printed("going on with process");
    const [{ pid }] = await shop.json("ps", "--state", "running");
    const sent = await shop.run("send", pid, '{"approved": true}');
    assert.match(sent.stderr, /^Message sent to .*A node is running: it takes effect now\.\n$/);
    const { code, stdout } = await second.ended;
    assert.equal(code, 0);
    assert.equal(stdout, "{ id: 'order-7', receipt: 4201, approval: { approved: true } }\n");
    assert.equal(await readFile(path.join(shop.folder, "charges.txt"), "utf8"), "order-7\n");
    // It is finished now: the same command is another piece of work.
    const third = shop.start(...words);
    await third.printed("order order-7");
    third.kill("SIGKILL");
    assert.doesNotMatch((await third.ended).stderr, /going on/);
  });

  test("a process goes on as the program it was started with, after the file was changed", async (t) => {
    const shop = await Shop.open(t, files);
    const first = shop.start("run", "app.ts");
    await first.printed("charged");
    first.kill("SIGKILL");
    await first.ended;
    await appendFile(path.join(shop.folder, "app.ts"), "export const version = 2;\n");
    const second = shop.start("run", "app.ts");
    await second.printed("It keeps the older version of app.ts that it was started with.");
    const other = shop.start("run", "app.ts", "--new");
    assert.equal((await other.ended).code, 1, "the store is in use");
    second.kill("SIGINT");
    assert.equal((await second.ended).code, 130);
    const third = shop.start("run", "app.ts", "--new");
    await third.printed("order undefined");
    third.kill("SIGTERM");
    const { code, stderr } = await third.ended;
    assert.equal(code, 143);
    assert.match(stderr, /perdure: 1 other process is unfinished in this store\. Go on with: perdure resume\n$/);
  });

  test("--id: the same id never runs twice, prints its result again, and stands for one piece of work", async (t) => {
    const shop = await Shop.open(t, files);
    await shop.run("run", "app.ts", "add", "1", "2", "--id", "sum");
    const again = await shop.run("run", "app.ts", "add", "1", "2", "--id", "sum");
    assert.deepEqual({ code: again.code, stdout: again.stdout }, { code: 0, stdout: "{ sum: 3 }\n" });
    assert.match(again.stderr, /process sum has ended before/);
    const other = await shop.run("run", "app.ts", "add", "1", "3", "--id", "sum");
    assert.equal(other.code, 1);
    assert.match(other.stderr, /^perdure: PROCESS_ID_CONFLICT: /);
  });

  test("Ctrl-C stops the node, not the process, and says how to go on", async (t) => {
    const shop = await Shop.open(t, files);
    const running = shop.start("run", "app.ts", "default", "it's", "--id", "order 7", "--store", "other.db");
    await running.printed("charged");
    running.kill("SIGINT");
    const { code, stdout, stderr } = await running.ended;
    assert.equal(code, 130);
    assert.equal(stdout, "order it's\nhost code speaks\n");
    assert.match(
      stderr,
      /perdure: stopped\. Process order 7 is not finished\. Go on with:\n {2}perdure run app\.ts default 'it'\\''s' --id 'order 7' --store other\.db\n$/,
    );
    const { state, turns } = await shop.json("show", "order 7", "--store", "other.db");
    assert.deepEqual({ state, turns }, { state: "running", turns: 2 });
  });

  test("a second Ctrl-C does not wait for operations", async (t) => {
    const slow = {
      ...files,
      "warehouse.ts":
        '"use host";\nexport async function charge() {\n  console.log("charging");\n  await new Promise((resolve) => setTimeout(resolve, 60_000));\n}\n',
    };
    const shop = await Shop.open(t, slow);
    const running = shop.start("run", "app.ts");
    await running.printed("charging");
    running.kill("SIGINT");
    await running.printed("running operations are given time to end");
    running.kill("SIGINT");
    assert.equal((await running.ended).code, 130);
  });

  test("a node that loses its store fails with exit code 70 and says why", async (t) => {
    const shop = await Shop.open(t, files);
    const running = shop.start("run", "app.ts", "--id", "order-7");
    await running.printed("charged");
    const other = new DatabaseSync(path.join(shop.folder, "perdure.db"));
    other.exec("UPDATE meta SET incarnation = incarnation + 1");
    other.close();
    await shop.run("send", "order-7", "1");
    const { code, stderr } = await running.ended;
    assert.equal(code, 70);
    assert.match(stderr, /\nperdure: STORE_FENCED: /);
  });

  test("whoever reads the output may stop reading: the node stops, the process does not", async (t) => {
    const chatty =
      "export default async function () {\n  for (let line = 0; ; line++) {\n    console.log(line);\n    await new Promise((resolve) => setTimeout(resolve, 1));\n  }\n}\n";
    const shop = await Shop.open(t, { "chatty.ts": chatty });
    const running = shop.start("run", "chatty.ts", "--id", "chatty");
    await running.printed("3\n");
    running.stopReading();
    const { code, stderr } = await running.ended;
    assert.equal(code, 141);
    assert.match(
      stderr,
      /^perdure: stopped\. Process chatty is not finished\. Go on with:\n {2}perdure run chatty\.ts --id chatty\n$/,
    );
  });

  test("host code that throws outside of an operation stops the node with exit code 70", async (t) => {
    const stray = {
      ...files,
      "warehouse.ts":
        '"use host";\nexport async function charge() {\n  setTimeout(() => { throw new RangeError("stray"); });\n  await new Promise(() => undefined);\n}\n',
    };
    const shop = await Shop.open(t, stray);
    const { code, stderr } = await shop.run("run", "app.ts");
    assert.equal(code, 70);
    assert.match(
      stderr,
      /^perdure: ENGINE_FAILED: Host code threw an error outside of any operation.*\nRangeError: stray\n {4}at .*warehouse\.ts:3:/,
    );
  });
});

describe("configuration", quick, () => {
  test("the store is that of --store, else of PERDURE_STORE, else of the configuration, else perdure.db", async (t) => {
    const shop = await Shop.open(
      t,
      { ...files, "perdure.config.ts": 'export default { store: "data/configured.db", env: ["COLOUR"] };' },
      { COLOUR: "blue" },
    );
    await mkdir(path.join(shop.folder, "data"));
    assert.equal((await shop.run("run", "app.ts", "env")).stdout, "blue\n");
    assert.ok(existsSync(path.join(shop.folder, "data", "configured.db")));
    const beneath = await Shop.open(t, files, { PERDURE_STORE: "environment.db" });
    await beneath.run("run", "app.ts", "nothing");
    assert.ok(existsSync(path.join(beneath.folder, "environment.db")));
    assert.equal((await beneath.json("ps", "--store", "environment.db")).length, 1);
    assert.equal((await beneath.run("--store", "nowhere.db", "ps")).code, 1);
  });

  test("a configuration that is wrong stops every command, naming file and key", async (t) => {
    const shop = await Shop.open(t, { ...files, "perdure.config.json": '{"guestThreads": "many"}' });
    const { code, stderr } = await shop.run("ps");
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^perdure: CONFIG_INVALID: .*perdure\.config\.json: guestThreads: it is "many"; it must be a whole number from 1 to 64\.\n$/,
    );
  });
});

describe("failures", quick, () => {
  test("one clear message, without a stack, and the right exit code", async (t) => {
    const shop = await Shop.open(t, {
      ...files,
      "broken.ts": "export default async function () {\n  return 1 +;\n}\n",
      "garbage.db": "not a database, at any rate not one of ours".repeat(200),
    });
    const cases: readonly (readonly [words: string, code: number, message: RegExp])[] = [
      [
        "run missing.ts",
        1,
        /^perdure: PROGRAM_NOT_FOUND: Cannot read the program .*missing\.ts\. There is no such file\.\n$/,
      ],
      ["run broken.ts", 1, /^perdure: PROGRAM_SYNTAX: broken\.ts:2:13: .*\n {2}2 \| {3}return 1 \+;\n {4}\| {13}\^\n$/],
      [
        "run app.ts ad 1 2",
        1,
        /^perdure: ENTRY_NOT_FOUND: app\.ts has no entry "ad"\. Did you mean "add"\?.* perdure run app\.ts default ad 1 2\n$/,
      ],
      ["run app.ts --new --id x", 2, /^perdure: ARGUMENT_INVALID: --new and --id exclude each other/],
      ["run app.ts --id a/b", 2, /^perdure: ARGUMENT_INVALID: "a\/b" cannot be a process id/],
      ["run", 2, /^perdure: ARGUMENT_INVALID: Missing required argument 'file'\. See perdure run --help\.\n$/],
      ["rnu app.ts", 2, /^perdure: ARGUMENT_INVALID: Unknown command 'rnu'\. Did you mean run\?\n$/],
      ["app.ts", 2, /Unknown command 'app\.ts'\. Did you mean: perdure run app\.ts\n$/],
      ["ps --stat x", 2, /Unknown option '--stat'\. Did you mean --state\?\n$/],
      ["ps --state x", 2, /^perdure: ARGUMENT_INVALID: --state is "x"; it must be one of running, paused/],
      ["ps --limit 0", 2, /^perdure: ARGUMENT_INVALID: --limit is "0"; it must be a whole number from 1\.\n$/],
      ["ps --store none.db", 1, /^perdure: STORE_NOT_FOUND: Cannot open the store .*none\.db: there is no such file/],
      ["ps --store memory:", 2, /^perdure: ARGUMENT_INVALID: A store "memory:" dies with the command/],
      ["ps --store garbage.db", 1, /^perdure: STORE_UNREADABLE: /],
      ["run app.ts add --store garbage.db", 1, /^perdure: STORE_UNREADABLE: /],
    ];
    for (const [words, code, message] of cases) {
      const ended = await shop.run(...words.split(" "));
      assert.match(ended.stderr, message, words);
      assert.deepEqual([ended.code, ended.stdout], [code, ""], words);
    }
  });

  test("--json: an error is a document too", async (t) => {
    const shop = await Shop.open(t, files);
    const { code, stdout } = await shop.run("show", "nobody", "--json");
    assert.equal(code, 1);
    const { error } = JSON.parse(stdout);
    assert.equal(error.code, "STORE_NOT_FOUND");
    assert.match(error.message, /there is no such file/);
    assert.equal(error.details.path, path.join(shop.folder, "perdure.db"));
    assert.equal(JSON.parse((await shop.run("ps", "--jsn", "--json")).stdout).error.code, "ARGUMENT_INVALID");
  });

  test("a damaged database is reported as damaged", async (t) => {
    const shop = await stoppedShop(t);
    const file = path.join(shop.folder, "perdure.db");
    await writeFile(file, Buffer.concat([Buffer.alloc(4096, 7), (await readFile(file)).subarray(4096)]));
    for (const words of [["ps"], ["resume"], ["run", "app.ts"]]) {
      const { code, stderr } = await shop.run(...words);
      assert.match(stderr, /^perdure: STORE_CORRUPT: /, words.join(" "));
      assert.equal(code, 1);
    }
  });

  test("PERDURE_DEBUG shows where it failed", async (t) => {
    const shop = await Shop.open(t, files, { PERDURE_DEBUG: "1" });
    assert.match((await shop.run("ps")).stderr, /\n {4}at /);
  });
});

describe("help", quick, () => {
  test("perdure alone, help and --help show it; each command has examples", async (t) => {
    const shop = await Shop.open(t, {});
    await mkdir(shop.folder, { recursive: true });
    const [alone, help] = await Promise.all([shop.run(), shop.run("--help")]);
    assert.deepEqual([alone.code, alone.stdout], [0, help.stdout]);
    const commands = [...alone.stdout.matchAll(/^ {2}([a-z][a-z-]*)(?: [<[]| {2})/gm)].map(([, name]) => name ?? "");
    assert.deepEqual(commands, [
      "run",
      "serve",
      "resume",
      "ps",
      "tree",
      "show",
      "history",
      "logs",
      "result",
      "send",
      "pause",
      "unpause",
      "move",
      "cancel",
      "kill",
      "dead-letters",
      "nodes",
      "programs",
      "export",
      "import",
      "migrate",
      "archive",
      "prune",
      "verify",
      "accept-restored",
      "help",
    ]);
    for (const command of [
      ...commands.slice(0, 3),
      "tree",
      "dead-letters",
      "export",
      "import",
      "archive",
      "prune",
      "verify",
    ]) {
      const { code, stdout } = await shop.run("help", command);
      assert.equal(code, 0);
      assert.match(stdout, /\nExamples:\n {2}\$ perdure /);
    }
    assert.match((await shop.run("--version")).stdout, /^\d+\.\d+\.\d+\n$/);
  });

  test("docs/cli.md describes every command and every option", async () => {
    const manual = await readFile(new URL("../docs/cli.md", import.meta.url), "utf8");
    const sections = new Map(manual.split(/^## /m).map((text) => [text.split("\n", 1)[0] ?? "", text]));
    const everywhere = sections.get("Everywhere") ?? "";
    const cli = createCli();
    for (const option of cli.options) assert.ok(everywhere.includes(option.long ?? "?"), option.flags);
    for (const command of cli.commands) {
      const section = sections.get(`perdure ${command.name()}`) ?? "";
      assert.notEqual(section, "", command.name());
      for (const { long } of command.options) {
        assert.ok(section.includes(`${long}`) || everywhere.includes(`\`${long}`), `${command.name()} ${long}`);
      }
    }
  });
});
