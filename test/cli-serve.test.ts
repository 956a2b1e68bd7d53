/** Supervision trees from the command line, invoked for real: served, looked at, and dealt with. */
import assert from "node:assert/strict";
import { appendFile } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { Shop } from "./support/cli.ts";
import type { Running } from "./support/cli.ts";
import { quick } from "./support/shop.ts";
import { eventually } from "./e2e/support/wait.ts";

const files: Readonly<Record<string, string>> = {
  "shop.ts": `import { receive, register, Server, supervisor } from "perdure";

export class Stock extends Server {
  articles = 12;
  async init() {
    await register("stock");
    console.log(this.articles, "articles");
  }
  take(count: number) {
    if (count < 0) throw new RangeError("negative " + count);
    this.articles -= count;
    console.log(this.articles, "left");
    return this.articles;
  }
  terminate(reason: unknown) {
    console.log("closes:", reason);
  }
}

export async function porter() {
  throw new TypeError(\`cannot carry \${await receive()}\`, { cause: new Error("heavy") });
}

export default supervisor({
  intensity: 1,
  period: "1 min",
  children: [
    { id: "stock", start: [Stock], recover: "previous" },
    { id: "yard", supervisor: { intensity: 1, period: "1 min", children: [{ id: "porter", start: [porter] }] } },
  ],
});
`,
  "plain.ts": "export async function f() {}\n",
  "strange.ts": `import { supervisor } from "perdure";\nexport default supervisor({ strategy: "none" as never });\n`,
  "unready.ts": `import { Server, supervisor } from "perdure";
export class Oven extends Server {
  init() {
    throw new TypeError("no gas");
  }
}
export default supervisor({ children: [{ id: "oven", start: [Oven] }] });
`,
};

async function serving(t: TestContext): Promise<{ shop: Shop; node: Running }> {
  const shop = await Shop.open(t, files);
  const node = shop.start("serve", "shop.ts");
  await node.printed("12 articles");
  await eventually("the porter", async () => (await shop.json("ps", "--label", "porter")).length === 1);
  return { shop, node };
}

function cast(...args: readonly unknown[]): string {
  return JSON.stringify(["perdure:cast", "take", args]);
}

/** Columns that differ from run to run. */
function steady(table: string): string {
  return table
    .replaceAll(/\b[0-9a-hjkmnp-tv-z]{20}\b/g, "PID")
    .replaceAll(/just now| \d+s ago/g, (text) => "-".padStart(text.length))
    .replaceAll(/ +/g, " ");
}

describe("perdure serve", quick, () => {
  test("starts the tree, and goes on with it after kill -9: nothing in it counts as a failure", async (t) => {
    const { shop, node } = await serving(t);
    await shop.run("send", "stock", cast(5));
    await node.printed("stock | 7 left");
    const before = steady((await shop.run("tree")).stdout);
    node.kill("SIGKILL");
    assert.match((await node.ended).stderr, /^perdure: serving shop\.ts: started root\n$/);
    const again = shop.start("serve", "shop.ts");
    await again.printed("going on with root, started");
    await shop.run("send", "stock", cast(3));
    await again.printed("stock | 4 left");
    assert.equal(steady((await shop.run("tree")).stdout), before);
    again.kill("SIGTERM");
    const { code, stderr } = await again.ended;
    assert.equal(code, 143);
    assert.match(stderr, /\nperdure: stopped\. 4 processes go on with:\n {2}perdure serve shop\.ts\n$/);
    assert.match(
      (await shop.run("ps")).stderr,
      /No node is running\. 4 processes go on with: perdure serve shop\.ts\n$/,
    );
  });

  test("with --standby a second node waits, and goes on with the tree when the first is killed", async (t) => {
    const { shop, node } = await serving(t);
    const second = shop.start("serve", "shop.ts", "--standby");
    await second.printed("perdure: standing by: The store ");
    await shop.run("send", "stock", cast(5));
    await node.printed("stock | 7 left");
    const third = shop.start("serve", "shop.ts", "--standby");
    await third.printed("perdure: standing by: ");
    third.kill("SIGTERM");
    const ended = await third.ended;
    assert.equal(ended.code, 143);
    assert.match(ended.stderr, /perdure: stopped, having stood by: another node owns the store\.\n$/);
    node.kill("SIGKILL");
    await second.printed("perdure: this node owns the store now");
    await second.printed("perdure: serving shop.ts: going on with root, started");
    await shop.run("send", "stock", cast(3));
    await second.printed("stock | 4 left");
    second.kill("SIGTERM");
    const { code, stderr } = await second.ended;
    assert.equal(code, 143);
    assert.match(stderr, /\n {2}perdure serve shop\.ts --standby\n$/);
  });

  test("a root that gives up ends the node with exit code 1 and a report, and the next one is another", async (t) => {
    const { shop, node } = await serving(t);
    for (let failures = 1; failures <= 4; failures++) {
      const pid = await eventually("a porter", async () => {
        const porters = await shop.json("ps", "--label", "porter", "--state", "running");
        return porters[0]?.pid as string | undefined;
      });
      await shop.run("send", pid, "sand");
      await eventually("its end", async () => (await shop.json("show", pid)).state === "exited");
    }
    const { code, stderr } = await node.ended;
    assert.equal(code, 1);
    assert.match(
      steady(stderr.slice(stderr.indexOf("perdure: The root"))),
      new RegExp(
        [
          "^perdure: The root root has ended: shutdown\\. It gave up: its children failed more often than it allows\\. The node stops\\.",
          "",
          "What failed below it, the latest first:",
          " porter \\(PID\\), restarted 1 time before, 4 times, last ?-: error",
          " TypeError: cannot carry sand",
          " at porter \\(shop\\.ts:21:\\d+\\)",
          " caused by Error: heavy",
          " at porter \\(shop\\.ts:21:\\d+\\)",
          "",
          "What it leaves can be looked at: perdure ps --tree --all",
          "A new tree is started by: perdure serve shop\\.ts\\n$",
        ].join("\\n"),
      ),
    );
    const next = shop.start("serve", "shop.ts");
    await next.printed("started root~2");
    await next.printed("12 articles");
  });

  test("--fresh stops the old tree in good order and starts one of the present program", async (t) => {
    const { shop, node } = await serving(t);
    node.kill("SIGINT");
    assert.equal((await node.ended).code, 130);
    await appendFile(path.join(shop.folder, "shop.ts"), "export const version = 2;\n");
    const old = shop.start("serve", "shop.ts");
    await old.printed("It keeps the older version of shop.ts that it was started with; --fresh starts another one.");
    old.kill("SIGINT");
    await old.ended;
    const fresh = shop.start("serve", "shop.ts", "--fresh");
    await fresh.printed("stopping root and all below it");
    await fresh.printed("stock | closes: shutdown");
    await fresh.printed("started root~2");
    await fresh.printed("stock | 12 articles");
  });

  test("what cannot be served: one clear message and exit code 1", async (t) => {
    const shop = await Shop.open(t, files);
    const cases: readonly (readonly [words: string, code: number, message: RegExp])[] = [
      ["serve plain.ts", 1, /^perdure: ENTRY_NOT_FOUND: plain\.ts has no default export\. To be served, /],
      [
        "serve strange.ts",
        1,
        /ended: exit\. It did not start\. .*\n {2}\{ start_spec: \{ invalid_strategy: 'none' \} \}\n/,
      ],
      [
        "serve unready.ts",
        1,
        /It did not start, because not all of its children did\.[^]*TypeError: no gas\n {8}at init/,
      ],
      ["serve missing.ts", 1, /^perdure: PROGRAM_NOT_FOUND: /],
      ["serve shop.ts --id a/b", 2, /^perdure: ARGUMENT_INVALID: "a\/b" cannot be a process id/],
    ];
    for (const [words, code, message] of cases) {
      const ended = await shop.run(...words.split(" "));
      assert.match(ended.stderr, message, words);
      assert.equal(ended.code, code, words);
    }
    const lines = (await shop.run("serve", "unready.ts", "--json")).stdout.trimEnd().split("\n");
    const { kind, reason, crashes } = JSON.parse(lines.at(-1) ?? "");
    assert.deepEqual([kind, reason, crashes.length], ["exit", "shutdown", 1]);
    assert.deepEqual([crashes[0].label, crashes[0].error.message], ["oven", "no gas"]);
  });

  test("a root belongs to its program; a second program needs an id of its own", async (t) => {
    const { shop, node } = await serving(t);
    node.kill("SIGINT");
    await node.ended;
    const refused = await shop.run("serve", "unready.ts");
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /Process root of this store belongs to shop\.ts, and lives\. .*: --id root-2\n$/);
    const { stderr } = await shop.run("serve", "unready.ts", "--id", "ovens");
    assert.match(stderr, /A new tree is started by: perdure serve unready\.ts --id ovens\n$/);
  });
});

describe("looking at trees", quick, () => {
  test("tree and ps show who started whom, what it is, and its names", async (t) => {
    const { shop } = await serving(t);
    assert.equal(
      steady((await shop.run("tree")).stdout),
      `PROCESS STATE WHAT STARTED RESTARTS NAMES PID
root running supervisor -
|- stock running server Stock - stock PID
\`- yard running supervisor - PID
 \`- porter running porter - PID
`,
    );
    assert.equal(steady((await shop.run("tree", "root", "--children", "1", "--all")).stdout).split("\n").length, 6);
    const [root] = await shop.json("tree");
    assert.deepEqual(
      [root.pid, root.children.map(({ label, names }: any) => [label, names])],
      [
        "root",
        [
          ["stock", ["stock"]],
          ["yard", []],
        ],
      ],
    );
    const [stock] = await shop.json("tree", "stock");
    assert.deepEqual([stock.parent, stock.role, stock.children], ["root", "server", []]);
    assert.equal(
      steady((await shop.run("ps", "--tree")).stdout).replaceAll(/- \d+ a/g, "- N a"),
      `PID LABEL STATE ENTRY STARTED TURNS WAITS FOR, OR ENDED WITH
root running default - N a message
|- PID stock running Stock - N a message
\`- PID yard running supervisor - N a message
 \`- PID porter running porter - N a message
`,
    );
  });

  test("ps filters and sorts", async (t) => {
    const { shop } = await serving(t);
    const labels = async (...words: readonly string[]): Promise<string[]> =>
      (await shop.json("ps", ...words)).map(({ label, pid }: { label: string; pid: string }) => label || pid);
    assert.deepEqual(await labels("--role", "supervisor"), ["yard", "root"]);
    assert.deepEqual(await labels("--role", "supervisor", "--reverse"), ["root", "yard"]);
    assert.deepEqual(await labels("--parent", "root", "--sort", "label"), ["stock", "yard"]);
    assert.deepEqual(await labels("--parent", "root", "--sort", "label", "--limit", "1"), ["stock"]);
    assert.deepEqual(await labels("--entry", "porter", "--label", "porter"), ["porter"]);
    assert.deepEqual(await labels("--reason", "error"), []);
    assert.match((await shop.run("ps", "--reason", "tired")).stderr, /--reason is "tired"; it must be one of normal, /);
    assert.match((await shop.run("ps", "--sort", "size")).stderr, /--sort is "size"; it must be one of started, /);
  });
});

describe("dealing with processes", quick, () => {
  for (const running of [true, false]) {
    test(`dead letters, ${running ? "beside a running node" : "of a store at rest"}`, async (t) => {
      const { shop, node } = await serving(t);
      await shop.run("send", "stock", cast(-3));
      await eventually("the letter", async () => (await shop.json("dead-letters")).length === 1);
      if (!running) {
        node.kill("SIGKILL");
        await node.ended;
      }
      assert.match(
        steady((await shop.run("dead-letters")).stdout),
        /^NUMBER SET ASIDE PROCESS MESSAGE LED TO\n ?1 ?- PID take\(-3\) RangeError: negative -3\n$/,
      );
      const shown = await shop.run("dead-letters", "show", "1");
      assert.match(
        shown.stdout,
        /\nMessage\n {2}\[ 'perdure:cast', 'take', \[ -3 \] \]\n\nLed to error\n {2}RangeError: neg/,
      );
      assert.match(
        (await shop.run("show", "stock")).stdout,
        /\nDead letters\n {2}#1, .* take\(-3\) {2}led to RangeError/,
      );
      const [{ seq, message, error }] = await shop.json("dead-letters", "--pid", "stock");
      assert.deepEqual([seq, message, error.message], [1, ["perdure:cast", "take", [-3]], "negative -3"]);
      const pid = (await shop.json("tree", "stock"))[0].pid;
      assert.deepEqual(await shop.json("dead-letters", "resend", "1", "--to", "yard-porter").catch(String), {
        error: {
          code: "PROCESS_NOT_FOUND",
          message: 'There is no process with the pid "yard-porter". `perdure ps` lists those there are.',
          details: { pid: "yard-porter" },
        },
      });
      const porter = (await shop.json("ps", "--label", "porter"))[0].pid;
      const resent = await shop.json("dead-letters", "resend", "1", "--to", porter);
      assert.deepEqual(resent, { seq: 1, resent: porter, nodeRunning: running });
      assert.equal((await shop.run("dead-letters")).stderr, "There are no dead letters.\n");
      for (const action of ["resend", "drop", "show"]) {
        const gone = await shop.run("dead-letters", action, "1");
        assert.deepEqual([gone.code, gone.stdout], [1, ""]);
        assert.match(gone.stderr, /^perdure: DEAD_LETTER_NOT_FOUND: /);
      }
      if (!running) assert.equal((await shop.json("show", porter)).inbox.length, 1);
      else await eventually("its turn", async () => (await shop.json("show", porter)).turns === 2);
      assert.equal((await shop.json("show", pid)).state, "running");
    });
  }

  test("a letter whose process has exited is sent to another, or dropped", async (t) => {
    const { shop, node } = await serving(t);
    await shop.run("send", "stock", cast(-3));
    await eventually("the letter", async () => (await shop.json("dead-letters")).length === 1);
    await shop.run("kill", "stock");
    await node.printed("stock | 12 articles");
    await eventually("the end", async () => (await shop.json("ps", "--reason", "killed")).length === 1);
    const refused = await shop.run("dead-letters", "resend", "1");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^perdure: PROCESS_EXITED: .*: perdure dead-letters resend 1 --to PID\n$/);
    assert.equal((await shop.run("dead-letters", "drop", "1")).stderr, "Dead letter 1 is dropped.\n");
    assert.match((await shop.run("dead-letters", "3")).stderr, /Did you mean: perdure dead-letters show 3\n$/);
    assert.match((await shop.run("dead-letters", "drop")).stderr, /Which letters\? Name them by number/);
    assert.match((await shop.run("dead-letters", "drop", "x")).stderr, /must be a whole number from 1/);
  });

  test("pause holds a process back, unpause lets it go on; both by name too", async (t) => {
    const { shop, node } = await serving(t);
    assert.match((await shop.run("pause", "stock")).stderr, /^Process \w{20} is to pause\. A node is running/);
    await eventually("the pause", async () => (await shop.json("ps", "--state", "paused")).length === 1);
    await shop.run("send", "stock", cast(2));
    assert.match((await shop.run("ps", "--state", "paused")).stdout, / paused .* perdure unpause\n$/);
    const pid = (await shop.json("tree", "stock"))[0].pid;
    assert.match((await shop.run("result", pid)).stderr, /It is paused\. Let it go on with: perdure unpause \w{20}\n$/);
    assert.deepEqual(await shop.json("unpause", "stock"), { pid, posted: "unpause", nodeRunning: true });
    await node.printed("stock | 10 left");
  });

  test("a crashed process shows what it failed with, while its supervisor cannot decide", async (t) => {
    const { shop, node } = await serving(t);
    await shop.run("pause", "root");
    await eventually("the pause", async () => (await shop.json("ps", "--state", "paused")).length === 1);
    await shop.run("send", "stock", cast(-3));
    await eventually("the crash", async () => (await shop.json("ps", "--state", "crashed")).length === 1);
    assert.match(
      (await shop.run("ps", "--state", "crashed")).stdout,
      / its supervisor, after RangeError: negative -3\n$/,
    );
    const { stdout } = await shop.run("show", "stock");
    assert.match(stdout, /^\w{20} {2}crashed\n[^]*\nWaits for\n {2}its supervisor\n/);
    assert.match(stdout, /\nFailed with error, [^]*\n {2}RangeError: negative -3\n {6}at take \(shop\.ts:\d+:\d+\)\n/);
    const { crash, exit } = await shop.json("show", "stock");
    assert.deepEqual([crash.reason, crash.error.message, exit], ["error", "negative -3", undefined]);
    const [{ pid }] = await shop.json("tree", "stock");
    assert.equal((await shop.run("result", pid)).code, 3);
    assert.match((await shop.run("show", "root")).stdout, /\nWaits for\n {2}perdure unpause root\n/);
    // Also after the node's death it is as it was, and goes on as soon as its supervisor does.
    node.kill("SIGKILL");
    await node.ended;
    const again = shop.start("serve", "shop.ts");
    await again.printed("root is paused. Let it go on with: perdure unpause root");
    await shop.run("unpause", "root");
    await eventually("its next turns", async () => (await shop.json("show", pid)).state === "running");
    await shop.run("send", "stock", cast(2));
    await again.printed("stock | 10 left");
  });
});
