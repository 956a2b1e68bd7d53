/** A host that is killed at any moment, and repeats what stands in its notebook: each thing happens once. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import { storeFile } from "./support/engine.ts";
import type { Entry } from "./support/keyed-host.ts";
import { seeded } from "./support/seeded.ts";

// oxlint-disable-next-line typescript/consistent-type-imports
type App = typeof import("../fixtures/idempotency/app.ts");

const script = fileURLToPath(new URL("support/keyed-host.ts", import.meta.url));
const count = 240;
const kills = 5;

interface Death {
  /** So many answers, and so long after them. */
  readonly answers: number;
  readonly delayMs: number;
}

/** Ends by itself, or by `kill -9`. Says what it complained of. */
async function host(store: string, notebook: string, death?: Death): Promise<string> {
  const child = spawn(process.execPath, [script, store, notebook, String(count)], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let complaint = "";
  child.stderr?.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  child.on("message", (answers: number) => {
    if (death !== undefined && answers >= death.answers) void sleep(death.delayMs).then(() => child.kill("SIGKILL"));
  });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  child.on("error", reject);
  child.on("close", (code) => {
    const isEnd = code === 0 || child.signalCode === "SIGKILL";
    resolve(isEnd ? complaint : `it ended with ${code}: ${complaint}`);
  });
  return await promise;
}

function read(notebook: string): Entry[] {
  if (!existsSync(notebook)) return [];
  const lines = readFileSync(notebook, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Entry);
}

test("a host that is killed again and again has each request carried out once, and one answer to it", async (t) => {
  const random = seeded();
  t.diagnostic(`PERDURE_SEED=${random.seed}`);
  const store = storeFile(t);
  const notebook = join(dirname(store), "notebook");
  for (let times = 0; times < kills; times++) {
    // A little further each time, so that there is always something new to ask.
    const answers = random.chance(0.3) ? 0 : random.between(0, ((times + 1) * count) / (kills + 2));
    assert.equal(await host(store, notebook, { answers, delayMs: random.between(0, 10) }), "");
  }
  const before = read(notebook).length;
  t.diagnostic(`${before} of ${count} answers were written down by hosts that were killed`);
  assert.ok(before < count, "the last host had nothing left to ask");
  assert.equal(await host(store, notebook), "");

  const answers = new Map(read(notebook).map(({ number, answer }) => [number, answer]));
  await using engine = await Engine.open<App>({
    store,
    program: new URL("../fixtures/idempotency/app.ts", import.meta.url),
    onLog: () => undefined,
  });
  const counter = engine.at("Counter", "keyed");
  const numbers = Array.from({ length: count }, (_, number) => number);
  assert.deepEqual(await counter.ran(), Object.fromEntries(numbers.map((number) => [`call ${number}`, 1])));
  for (const number of numbers.filter((each) => each % 10 !== 9 && each % 7 === 0)) {
    const key = `call ${number}`;
    assert.deepEqual(await counter.with({ key }).add(key, number), answers.get(number));
  }
  const inbox = engine.get<{ readonly number: number }[]>("inbox");
  await inbox.send("end");
  const received = (await inbox.result()).map(({ number }) => number);
  assert.deepEqual(
    received.toSorted((a, b) => a - b),
    numbers,
  );
});
