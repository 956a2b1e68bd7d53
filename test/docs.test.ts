/** The documentation's examples are programs: they compile, they build, and those that say what comes out are run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
const documents = [
  "README.md",
  "docs/fetch.md",
  "docs/operations.md",
  "docs/supervision.md",
  "docs/idempotency.md",
  "docs/retention.md",
  "docs/sagas.md",
  "docs/process-files.md",
  "docs/scaling.md",
  "docs/placement.md",
];

interface Example {
  readonly file: string;
  readonly text: string;
}

/** Blocks of TypeScript whose first line names a file: "// app.ts" or "// app.ts: what it is". */
function examplesOf(markdown: string): Example[] {
  return [...markdown.matchAll(/```ts\n\/\/ ([\w./-]+\.ts)\b[^\n]*\n([\s\S]*?)```/g)].map(([, file, text]) => ({
    file: file as string,
    text: text as string,
  }));
}

describe("the documentation's examples", () => {
  // Inside the repository, so that "perdure" is found by its own name.
  let folder = "";
  before(async () => {
    await mkdir(path.join(root, ".perdure"), { recursive: true });
    folder = await mkdtemp(path.join(root, ".perdure", "docs-"));
    for (const document of documents) {
      const target = path.join(folder, path.basename(document, ".md"));
      await mkdir(target);
      const examples = examplesOf(await readFile(path.join(root, document), "utf8"));
      assert.ok(examples.length >= 2, `${document} has examples`);
      for (const { file, text } of examples) await writeFile(path.join(target, file), text);
    }
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test("compile under strict TypeScript", async () => {
    const config = {
      compilerOptions: {
        strict: true,
        noEmit: true,
        module: "nodenext",
        target: "es2024",
        types: ["node"],
        allowImportingTsExtensions: true,
        skipLibCheck: true,
      },
      include: ["**/*.ts"],
    };
    await writeFile(path.join(folder, "tsconfig.json"), JSON.stringify(config));
    await run(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", folder]).catch(
      (error: { stdout: string }) => assert.fail(error.stdout),
    );
  });

  test("the README's order waits for its approval, and says that it was declined", async () => {
    const { Engine } = await import("perdure/engine");
    await using engine = await Engine.open({ store: "memory:", program: path.join(folder, "README", "app.ts") });
    const order = await engine.start("default", ["order-7", 4200], { id: "order-7" });
    await order.send({ approved: false });
    assert.deepEqual(await order.result(), { id: "order-7", state: "declined" });
  });

  test("docs/operations.md: a final error of the host function is caught by the program", async () => {
    const { Engine } = await import("perdure/engine");
    const declining = `"use host";\nimport { NonRetryableError } from "perdure/host";
      export async function charge(): Promise<string> { throw new NonRetryableError("The card was declined."); }
      export async function thumbnail(): Promise<string> { return ""; }`;
    const target = path.join(folder, "declined");
    await mkdir(target);
    await writeFile(path.join(target, "app.ts"), await readFile(path.join(folder, "operations", "app.ts")));
    await writeFile(path.join(target, "shop.ts"), declining);
    await using engine = await Engine.open({ store: "memory:", program: path.join(target, "app.ts") });
    const purchase = await engine.start("default", ["card"]);
    assert.deepEqual(await purchase.result(), { declined: "The card was declined." });
  });

  test("docs/operations.md: on payday the second transfer is refused, and nothing of it is left", async () => {
    const { Engine } = await import("perdure/engine");
    await using engine = await Engine.open({
      store: "memory:",
      program: path.join(folder, "operations", "payday.ts"),
    });
    const payday = await engine.start("default", []);
    assert.deepEqual(await payday.result(), { left: 200, refusal: "company has less than 300" });
  });

  test("docs/process-files.md: the order moves in mid-life, and the reader reads its file", async () => {
    const { Engine } = await import("perdure/engine");
    const own = (file: string) => path.join(folder, "process-files", file);
    const { move } = (await import(own("move.ts"))) as {
      move: (pid: string, from: unknown, to: unknown, path: string) => Promise<{ result(): Promise<unknown> }>;
    };
    const { readFile: read } = (await import(own("reader.ts"))) as {
      readFile: (path: string) => { process: { pid: string; lastTurn: number }; turns: unknown[]; inbox: unknown[] };
    };
    await using here = await Engine.open({ store: "memory:", program: own("app.ts") });
    await using there = await Engine.open({ store: "memory:" });
    const order = await here.start("default", ["order-7"], { id: "order-7" });
    await order.send("one");
    await order.pause();
    await order.send("two");
    const moved = await move("order-7", here, there, own("order-7.perdure"));
    await there.get("order-7").resume();
    assert.deepEqual(await moved.result(), ["order-7", "one", "two"]);
    const { process, turns, inbox } = read(own("order-7.perdure"));
    assert.deepEqual([process.pid, turns.length], ["order-7", process.lastTurn]);
    assert.ok(inbox.length >= 1);
  });

  test("docs/sagas.md: both orders are undone", async () => {
    const { Engine } = await import("perdure/engine");
    const folderOf = (file: string) => path.join(folder, "sagas", file);
    await using plain = await Engine.open({ store: "memory:", program: folderOf("plain.ts") });
    assert.equal(await (await plain.start("default", ["order-7", 5])).result(), "undone: order-7 is out of stock");
    await using engine = await Engine.open({ store: "memory:", program: folderOf("app.ts") });
    const order = await engine.start("default", ["order-7", 5], { id: "order-7" });
    await assert.rejects(order.result(), { message: /order-7 is out of stock/ });
    const commands = (await order.history()).flatMap((turn) => turn.commands);
    const called = commands.flatMap(({ kind, target }) => (kind === "operation" ? target : []));
    assert.deepEqual(
      [...new Set(called)].map((name) => name.slice(name.indexOf("#") + 1)),
      ["reserve", "charge", "ship", "refund", "release"],
    );
  });

  test("docs/fetch.md: the payment is sent with a key, and numbers are summed up as they stream in", async (t) => {
    const { Engine } = await import("perdure/engine");
    const keys: unknown[] = [];
    const server = createServer((request, response) => {
      keys.push(request.headers["idempotency-key"]);
      response.end(request.url === "/charges" ? '{"receipt":"r-1"}' : `${"1\n".repeat(100_000)}5`);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close().closeAllConnections());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const [file, args, result] of [
      ["pay.ts", [url, "order-7", 4200], { receipt: "r-1" }],
      ["lines.ts", [url], 100_005],
    ] as const) {
      await using engine = await Engine.open({ store: "memory:", program: path.join(folder, "fetch", file) });
      assert.deepEqual(await (await engine.start("default", [...args])).result(), result);
    }
    assert.deepEqual(
      keys.map((key) => typeof key),
      ["string", "undefined"],
    );
  });

  for (const [file, result] of [
    ["greeter.ts", "Hello, Ann!"],
    ["cart.ts", 470],
  ] as const) {
    test(`docs/supervision.md: ${file} answers ${JSON.stringify(result)}`, async () => {
      const { Engine } = await import("perdure/engine");
      await using engine = await Engine.open({ store: "memory:", program: path.join(folder, "supervision", file) });
      assert.equal(await (await engine.start("default", [])).result(), result);
    });
  }

  test("docs/supervision.md: a printer that is cancelled says why it has stopped, and its heater is turned off", async () => {
    const { Engine } = await import("perdure/engine");
    const lines: string[] = [];
    const file = path.join(folder, "supervision", "printer.ts");
    const heard = Promise.withResolvers<void>();
    await using engine = await Engine.open({
      store: "memory:",
      program: file,
      onLog: ({ text }) => void (lines.push(text) === 2 && heard.resolve()),
    });
    const printer = await engine.start("default", []);
    await printer.send("a page");
    while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await printer.cancel("out of paper");
    assert.equal(await printer.result(), "stopped: out of paper");
    await heard.promise;
    assert.deepEqual(lines, ["prints a page", "the heater is off"]);
  });

  test("docs/supervision.md: the player goes on where it was, without the frame that it cannot decode", async () => {
    const { Engine } = await import("perdure/engine");
    const target = path.join(folder, "player");
    await mkdir(target);
    await writeFile(path.join(target, "player.ts"), await readFile(path.join(folder, "supervision", "player.ts")));
    await writeFile(
      path.join(target, "app.ts"),
      `import { Supervisor } from "perdure";
       import player, { Player } from "./player.ts";
       export default async function main() {
         const running = (await Supervisor.start(player))!;
         const [child] = await running.whichChildren();
         const ref = Player.ref(child!.pid as string);
         await ref.chapter(100);
         for (const frame of ["a", "b"]) await ref.show(frame);
         ref.cast.show("damaged");
         return await ref.show("c");
       }`,
    );
    await using engine = await Engine.open({
      store: "memory:",
      program: path.join(target, "app.ts"),
      onLog: () => undefined,
    });
    assert.equal(await (await engine.start("default", [])).result(), 103);
  });

  test("docs/idempotency.md: a payment that is delivered three times is booked once", async () => {
    const { Engine } = await import("perdure/engine");
    const target = path.join(folder, "idempotency");
    const { book } = (await import(path.join(target, "payments.ts"))) as {
      book(engine: unknown, payment: object): Promise<number>;
    };
    await using engine = await Engine.open({ store: "memory:", program: path.join(target, "account.ts") });
    const payment = { id: "payment-17", account: "ann", cents: 100 };
    const answers = await Promise.all([book(engine, payment), book(engine, payment)]);
    assert.equal(await book(engine, { ...payment, id: "payment-18", cents: 1 }), 101);
    answers.push(await book(engine, payment));
    assert.deepEqual(answers, [100, 100, 100]);
  });
});
