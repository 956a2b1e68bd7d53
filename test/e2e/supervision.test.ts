/** Supervision in the whole engine: what a restart begins with, by `docs/supervision.md`. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import { deeds } from "../fixtures/supervision/deeds.ts";

const program = new URL("../fixtures/supervision/app.ts", import.meta.url);

async function run<T>(entry: string, logs: string[] = []): Promise<T> {
  await using engine = await Engine.open({ store: "memory:", program, onLog: ({ text }) => void logs.push(text) });
  const handle = await engine.start(entry, []);
  return (await handle.result()) as T;
}

beforeEach(() => void deeds.splice(0));

interface Travels {
  readonly first: Readonly<Record<string, unknown>>;
  readonly second: Readonly<Record<string, unknown>>;
  readonly down: string;
  readonly lines: readonly string[];
  readonly samePid: boolean;
}

describe("a child that goes back to its checkpoint", () => {
  test("has what it had then, and nothing of what came later", async () => {
    const logs: string[] = [];
    const { first, second, down, lines, samePid } = await run<Travels>("travels", logs);
    assert.equal(samePid, true);
    // Outcomes are recorded: what was pending then was done once, what began later twice.
    assert.deepEqual(deeds.toSorted(), ["late", "late", "quick", "slow"]);
    for (const found of [first, second]) {
      assert.deepEqual(
        [found["outcome"], found["slow"], found["alarm"], found["begun"]],
        ["quick done", "slow done", "rang", "late done"],
      );
    }
    assert.equal(first["early"], second["early"]);
    assert.notEqual(first["late"], second["late"], "a pid that was given was given again");
    assert.notEqual(first["drawn"], second["drawn"], "a number that was drawn was drawn again");
    assert.equal(down, "traveller failed", "a monitor made since does not hold");
    assert.deepEqual(lines.toSorted(), [
      "late was told traveller failed",
      "life at before, drawn anew",
      "life at before, drawn anew",
    ]);
    assert.ok(
      logs.some((text) => text.includes("traveller") && text.includes("failed: error: Error: traveller failed")),
    );
  });
});

test("a child that goes back does not end with those it was linked to since", async () => {
  assert.equal(await run("losesLaterLink"), true);
});

test("what a child was yet to be told of an end at its checkpoint it is told again, whatever it linked itself to since", async () => {
  assert.deepEqual(await run("isToldAgain"), ["as told", "as told"]);
});

test("a ladder is climbed: twice from the turn before, then (without a checkpoint) fresh, by OTP's count", async () => {
  const { pids, lines } = await run<{ pids: number[]; lines: string[] }>("ladder");
  // The same process survives twice; then each failure makes another.
  assert.deepEqual(pids, [0, 0, 0, 3, 4]);
  assert.equal(lines.filter((line) => line === "pupil began").length, 4);
  for (let fault = 0; fault < 5; fault++) {
    assert.equal(lines.filter((line) => line === `pupil got message ${fault}`).length, 1);
  }
});

test("what made a child fail is set aside; everything else it was told is done, once and in order", async () => {
  assert.deepEqual(await run("stubborn"), [1, 2, 4, 5, 7, 8, 10]);
  assert.deepEqual(
    deeds,
    [1, 2, 4, 5, 7, 8, 10].map((number) => `step ${number}`),
  );
});

test("a process that is paused while a turn of it fails stays paused, and is asked about when it goes on", async () => {
  assert.deepEqual(await run("stopsOneThatFails"), [true, "nothing", "after"]);
});

test("what was unlinked once is heard of again when it links itself", async () => {
  assert.equal(await run("isLinkedAgain"), "as told");
});

test("a linked start that comes to nothing leaves no exit in the mailbox", async () => {
  assert.deepEqual(await run("startsIdle"), [undefined, "nothing"]);
});

test("a process that is no server refuses a call, instead of leaving its caller to wait", async () => {
  assert.equal(await run("refuses"), "CALL_REFUSED");
});

test("a child that begins anew does so with the newest version that was deployed; the others stay with theirs", async (t) => {
  // Inside the repository, so that "perdure" is found by its own name.
  const folder = await mkdtemp(join(fileURLToPath(new URL("../..", import.meta.url)), ".perdure-versions-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "app.ts");
  const version = (number: number): string => `
    import { Server, supervisor } from "perdure";
    export class Speaker extends Server {
      version() { return ${number}; }
      fail() { throw new Error("as told"); }
    }
    export default supervisor({ children: [{ id: "a", start: [Speaker] }, { id: "b", start: [Speaker] }] });`;
  const open = (): Promise<Engine> =>
    Engine.open({ store: join(folder, "store.db"), program: file, onLog: () => undefined });
  const speakers = async (engine: Engine): Promise<[id: string | undefined, version: unknown][]> => {
    const children = await engine.supervisor("root").whichChildren();
    return await Promise.all(
      children.map(async ({ id, pid }) => [id, await versionOf(engine, String(pid))] as [string | undefined, unknown]),
    );
  };
  await writeFile(file, version(1));
  {
    await using engine = await open();
    await engine.start("default", [], { id: "root" });
    assert.deepEqual(await speakers(engine), [
      ["b", 1],
      ["a", 1],
    ]);
  }
  await writeFile(file, version(2));
  await using engine = await open();
  const [b] = await engine.supervisor("root").whichChildren();
  await engine.get(String(b?.pid)).send(["perdure:cast", "fail", []]);
  while ((await engine.supervisor("root").whichChildren())[0]?.pid === b?.pid);
  assert.deepEqual(await speakers(engine), [
    ["b", 2],
    ["a", 1],
  ]);
});

async function versionOf(engine: Engine, pid: string): Promise<unknown> {
  const speaker = engine.server("Speaker", pid) as unknown as { version(): Promise<unknown> };
  return await speaker.version();
}
