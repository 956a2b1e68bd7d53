/** How a machine that does not hold a process gets it: from snapshot and journal, bit for bit as it was. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Turn } from "../journal/types.ts";
import { done, localMachine, message, Process, program, resolved, sources, timer } from "./harness.test.ts";

const text = `
import { receive } from "perdure";
import { ask } from "./host.ts";

export async function steps() {
  const seen: unknown[] = [];
  const byName = new Map<string, unknown>();
  setInterval(() => seen.push(["tick", Date.now()]), 1000);
  for (let step = 1; ; step++) {
    const answer: any = await ask(step, Math.random());
    seen.push(answer, { step, at: new Date(), text: "x".repeat(step * 100) });
    byName.set("step " + step, [answer, /pattern/g, new Uint8Array(step)]);
    void receive().then((body) => seen.push(body));
  }
}
export async function fails() { await ask(); throw new TypeError(String(await receive())); }
export async function grows() {
  const all: Uint8Array[] = [];
  for (let step = 1; ; step++) {
    all.push(new Uint8Array(300_000).fill(step));
    await ask(all.length, all[0]![0]);
  }
}
export async function long(rounds: number) { let sum = 0; for (let i = 0; i < rounds; i++) sum += i; for (;;) sum += (await ask(sum)) as number; }
export async function other() { const junk = Array.from({ length: 2000 }, (_, i) => ({ i, s: "junk " + i })); await ask(junk.length); for (;;) await receive(); }
export async function collected() {
  const registry = new FinalizationRegistry((name: string) => console.log("gone " + name));
  let held: any = [];
  for (let step = 1; ; step++) {
    for (let i = 0; i < 50; i++) registry.register([step, held], step + "/" + i);
    held = [held];
    await ask(step);
  }
}
`;
const app = await program({
  "app.ts": text,
  "host.ts": `"use host"; export async function ask(..._: any): Promise<any> {}`,
});
const known = sources(app);
let keys = 0;

const tight = { pool: { instanceBytes: 1, pageCacheBytes: 64 * 1024 * 1024 } };
const forgetful = { pool: { instanceBytes: 1, pageCacheBytes: 0 } };

/** Turns with what the program makes of results, messages and timers. */
async function drive(subject: Process, turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    subject.timeMs += 10;
    const operation = subject.commands.filter(({ kind }) => kind === "operation").length;
    const timers = subject.commands.flatMap((command) => (command.kind === "timer" ? [command.number] : []));
    const extra = turn % 3 === 0 ? [message({ turn })] : turn % 3 === 1 ? [timer(timers.at(-1) ?? 1)] : [];
    await subject.turn(...extra, resolved(operation, `answer ${turn}`));
  }
}

async function driven(entry: string, turns: number, machine = localMachine(known)): Promise<Process> {
  const subject = new Process(machine, app, ++keys);
  await subject.start(entry);
  await drive(subject, turns);
  return subject;
}

describe("a process the machine does not hold", () => {
  test("is absent without what it can be loaded from, and nothing happens", async () => {
    const original = await driven("steps", 3);
    const copy = original.moved(localMachine(known));
    assert.deepEqual(await copy.attempt([]), { kind: "absent" });
    assert.equal((await copy.attempt([], copy.load())).kind, "done");
  });

  test("replayed from its journal has the memory it had, bit for bit", async () => {
    const original = await driven("steps", 12);
    const copy = original.moved(localMachine(known));
    await copy.attempt([], copy.load());
    await original.turn();
    await copy.assertSameMemory(original);
  });

  test("replayed from a snapshot and the turns after it has that memory too", async () => {
    const original = await driven("steps", 5);
    const snapshot = await original.snapshot();
    await drive(original, 5);
    const copy = original.moved(localMachine(known));
    done(await copy.attempt([], copy.load(snapshot)));
    await original.turn();
    await copy.assertSameMemory(original);
  });

  test("goes on from a snapshot without any turns after it", async () => {
    const original = await driven("steps", 5);
    const copy = original.moved(localMachine(known));
    done(await copy.attempt([], copy.load(await original.snapshot())));
    await original.turn();
    await copy.assertSameMemory(original);
  });

  test("has the same memory on a machine that ran others before, in an instance that held another", async () => {
    const original = await driven("steps", 6);
    const machine = localMachine(known, forgetful);
    for (const entry of ["other", "collected", "steps"]) {
      const before = await driven(entry, 2, machine);
      machine.machine.drop(before.key);
    }
    const copy = original.moved(machine);
    await copy.attempt([], copy.load());
    await original.turn();
    await copy.assertSameMemory(original);
  });

  test("has it with moments of garbage collection that the program can see", async () => {
    const original = await driven("collected", 40);
    assert.ok(original.logs.length > 0);
    const copy = original.moved(localMachine(known));
    done(await copy.attempt([], copy.load()));
    await original.turn();
    await copy.assertSameMemory(original);
  });

  test("that was suspended in mid-turn has it as well", async () => {
    const machine = localMachine(known);
    const [a, b] = [new Process(machine, app, ++keys), new Process(machine, app, ++keys)];
    await Promise.all([a.start("long", 400_000), b.start("long", 400_000)]);
    const copy = a.moved(localMachine(known));
    await copy.attempt([resolved(1, 1)], copy.load());
    await a.turn(resolved(1, 1));
    await copy.assertSameMemory(a);
  });

  test("takes no notice of fuel while it is replayed", async () => {
    const original = new Process(localMachine(known), app, ++keys);
    await original.start("long", 1_000_000);
    const copy = original.moved(localMachine(known, { fuelInterrupts: 3 }));
    done(await copy.attempt([resolved(1, 1)], copy.load()));
  });

  test("can be killed while it is replayed", async () => {
    const original = new Process(localMachine(known), app, ++keys);
    await original.start("long", 2_000_000);
    const machine = localMachine(known);
    const copy = original.moved(machine);
    const outcome = copy.attempt([], copy.load());
    await driven("other", 0, machine);
    machine.machine.kill(copy.key);
    assert.deepEqual(await outcome, { kind: "fatal", input: 0, reason: "killed", detail: "Killed." });
  });
});

describe("a process whose memory grew beyond its image", () => {
  test("comes back from kept pages, and runs on as if it had never left", async () => {
    const machine = localMachine(known, tight);
    const subject = await driven("grows", 6, machine);
    const witness = await driven("grows", 6);
    await driven("other", 0, machine);
    await drive(subject, 4);
    await drive(witness, 4);
    assert.deepEqual(
      subject.journal.map(({ commands }) => commands),
      witness.journal.map(({ commands }) => commands),
    );
  });

  test("comes back from a snapshot with its size, and from its journal with the same memory", async () => {
    const original = await driven("grows", 8);
    const snapshot = await original.snapshot();
    await drive(original, 2);
    const [fromSnapshot, fromJournal] = [original.moved(localMachine(known)), original.moved(localMachine(known))];
    done(await fromSnapshot.attempt([], fromSnapshot.load(snapshot)));
    done(await fromJournal.attempt([], fromJournal.load()));
    await original.turn();
    await fromSnapshot.assertSameMemory(original);
    await fromJournal.assertSameMemory(original);
  });

  test("many of them in turn on little room all run as they would alone", async () => {
    const machine = localMachine(known, tight);
    const subjects = await Promise.all(Array.from({ length: 4 }, () => driven("grows", 0, machine)));
    for (let round = 0; round < 4; round++) for (const subject of subjects) await drive(subject, 1);
    const witness = await driven("grows", 4);
    for (const subject of subjects) {
      assert.deepEqual(
        subject.journal.map(({ commands }) => commands),
        witness.journal.map(({ commands }) => commands),
      );
    }
  });
});

test("a snapshot of a process that is gone, or in mid-turn, is not taken", async () => {
  const machine = localMachine(known);
  const subject = await driven("steps", 1, machine);
  machine.machine.drop(subject.key);
  machine.machine.snapshot(subject.key);
  machine.machine.snapshot(12_345);
  assert.deepEqual(await subject.attempt([]), { kind: "absent" });
});

describe("a snapshot that cannot be used", () => {
  test("is named by its turn, and nothing happens; without it the process runs", async () => {
    const original = await driven("steps", 4);
    const snapshot = await original.snapshot();
    const body = Buffer.from(snapshot.body);
    body[body.length - 1] = (body[body.length - 1] as number) ^ 1;
    const copy = original.moved(localMachine(known));
    const outcome = await copy.attempt([], copy.load({ ...snapshot, body }));
    assert.ok(outcome.kind === "damaged-snapshot");
    assert.deepEqual([outcome.turn, /checksum/.test(outcome.detail)], [5, true]);
    done(await copy.attempt([], copy.load()));
  });

  test("because it is another program's is a damaged one", async () => {
    const stranger = await program("export default async () => new Promise(() => {});");
    const machine = localMachine(sources(app, stranger));
    const foreign = new Process(machine, stranger, ++keys);
    await foreign.start("default");
    const original = await driven("steps", 0);
    const copy = original.moved(machine);
    assert.equal((await copy.attempt([], copy.load(await foreign.snapshot()))).kind, "damaged-snapshot");
  });
});

/** The journal with one turn changed. */
function changed(journal: readonly Turn[], number: number, change: (turn: Turn) => Partial<Turn>): Turn[] {
  return journal.map((turn) => (turn.number === number ? { ...turn, ...change(turn) } : turn));
}

describe("a journal that the program does not follow", () => {
  type Change = (turn: Turn) => Partial<Turn>;
  const changes: readonly (readonly [what: string, change: Change, expected: boolean, actual: boolean])[] = [
    ["another digest", ({ commands }) => ({ commands: [{ ...commands[0]!, digest: "0".repeat(16) }] }), true, true],
    ["another kind of command", ({ commands }) => ({ commands: [{ ...commands[0]!, kind: "log" }] }), true, true],
    ["a command less", () => ({ commands: [] }), false, true],
    ["a command more", ({ commands }) => ({ commands: [...commands, ...commands] }), true, false],
    ["another input", () => ({ inputs: [resolved(3, "something else"), message(1), resolved(3)] }), true, true],
    ["an input less", () => ({ inputs: [] }), true, false],
  ];
  for (const [what, change, hasExpected, hasActual] of changes) {
    test(`because of ${what} is diverged at that turn, with both commands side by side`, async () => {
      const original = await driven("long", 5);
      const copy = original.moved(localMachine(known));
      const tail = changed(original.journal, 4, change);
      const outcome = await copy.attempt([], { tail });
      assert.ok(outcome.kind === "diverged", JSON.stringify(outcome));
      const { turn, expected, actual } = outcome.divergence;
      // A changed input shows in what the program says next.
      assert.deepEqual([turn, expected !== undefined, actual !== undefined], [4, hasExpected, hasActual]);
      assert.deepEqual(await copy.attempt([]), { kind: "absent" });
      done(await copy.attempt([], copy.load()));
    });
  }

  test("because the turn's time is another is diverged if the program looked at it", async () => {
    const original = await driven("steps", 5);
    const copy = original.moved(localMachine(known));
    const tail = changed(original.journal, 1, ({ timeMs }) => ({ timeMs: timeMs + 1 }));
    assert.equal((await copy.attempt([], { tail })).kind, "diverged");
  });

  test("because the program is another is diverged", async () => {
    const edited = await program({
      "app.ts": text.replace("ask(step, Math.random())", "ask(step + 1, Math.random())"),
      "host.ts": `"use host"; export async function ask(..._: any): Promise<any> {}`,
    });
    const original = await driven("steps", 2);
    const request = { ...original.request([], original.load()), program: edited.hash };
    assert.equal((await localMachine(sources(edited)).run(request)).kind, "diverged");
  });
});

describe("a journal with a gap", () => {
  const gaps: readonly (readonly [what: string, numbers: readonly number[]])[] = [
    ["without its first turn", [2, 3, 4]],
    ["without a turn in the middle", [1, 2, 4]],
    ["without its last turn", [1, 2, 3]],
    ["with a turn twice", [1, 2, 2, 3, 4]],
    ["with a turn too many", [1, 2, 3, 4, 5]],
    ["without any turn", []],
  ];
  for (const [what, numbers] of gaps) {
    test(`${what} is broken, and says which turn`, async () => {
      const original = await driven("steps", 4);
      const copy = original.moved(localMachine(known));
      copy.journal.length = 4;
      const tail = numbers.map((number) => original.journal[number - 1] as Turn);
      const outcome = await copy.attempt([], { tail });
      assert.ok(outcome.kind === "broken");
      assert.match(outcome.detail, /turn \d/);
    });
  }

  test("between snapshot and turns is broken; so is a snapshot from beyond the journal's end", async () => {
    const original = await driven("steps", 6);
    const snapshot = await original.snapshot();
    const { turn, body } = snapshot;
    await drive(original, 2);
    const copy = original.moved(localMachine(known));
    const behind = await copy.attempt([], { snapshot: { turn, body }, tail: original.journal.slice(turn + 1) });
    assert.equal(behind.kind, "broken");
    copy.journal.length = 4;
    assert.equal((await copy.attempt([], { snapshot: { turn, body }, tail: [] })).kind, "broken");
  });
});

test("a turn that ended the process with an error replays to the same end", async () => {
  const original = await driven("fails", 0);
  await original.turn(message("as asked"));
  await original.turn(resolved(1));
  assert.equal(original.exit?.reason, "error");
  const copy = original.moved(localMachine(known));
  const [exit] = original.journal.at(-1)?.commands ?? [];
  const ended = copy.journal.pop() as Turn;
  const outcome = done(await copy.attempt(ended.inputs, copy.load()));
  assert.deepEqual(outcome.digests[0], exit);
});
