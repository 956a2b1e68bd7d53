/** When a program's modules run: while its image is built, or in each process's first turn. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CommandDigest } from "../journal/types.ts";
import { decodeImage } from "./image-file.ts";
import { done, localMachine, Process, program, resolved, sources, timer } from "./harness.test.ts";
import type { TestProgram } from "./harness.test.ts";

const host = { "host.ts": `"use host"; export async function ask(): Promise<any> {}` };

/** The machine's image of the program, once a process of it ran. */
function isEvaluated(built: TestProgram, images: Map<string, Uint8Array>): boolean | undefined {
  const [entry] = images;
  return entry === undefined ? undefined : decodeImage(entry[1], entry[0], built.bundle, 2 ** 30)?.evaluated;
}

async function run(text: string, ...entry: readonly string[]) {
  const built = await program({ "app.ts": text, ...host });
  const known = sources(built);
  const subject = new Process(localMachine(known), built, 1);
  await subject.start(entry[0] ?? "default");
  return { built, known, subject, evaluated: isEvaluated(built, known.images) };
}

/** The same process replayed on a new machine, then one turn further on both. */
async function replaysAlike(original: Process, known: ReturnType<typeof sources>): Promise<void> {
  const copy = original.moved(localMachine(known));
  assert.deepEqual(done(await copy.attempt([], copy.load())).commands, await original.turn());
  await copy.assertSameMemory(original);
}

describe("modules that touch nothing that differs between processes", () => {
  test("are evaluated once, in the image; what they made is every process's own", async () => {
    const text = `
      const seen: number[] = [];
      export async function add(x: number) { seen.push(x); return [...seen]; }
      export default async function () {}`;
    const { built, known, evaluated } = await run(text);
    assert.equal(evaluated, true);
    const machine = localMachine(known);
    const [a, b] = [new Process(machine, built, 2), new Process(machine, built, 3)];
    await a.start("add", 1);
    await b.start("add", 2);
    assert.deepEqual([a.exit?.value, b.exit?.value], [[1], [2]]);
  });

  test("may await what is settled already, and define whatever they like", async () => {
    const text = `
      const settled = await Promise.resolve(5);
      const later = new Promise((resolve) => queueMicrotask(() => resolve(settled + 1)));
      class A { static readonly table = new Map([[1, /x/g]]); }
      export default async () => [settled, await later, A.table.size];`;
    const { subject, evaluated } = await run(text);
    assert.deepEqual([evaluated, subject.exit?.value], [true, [5, 6, 1]]);
  });
});

const impure: readonly (readonly [what: string, statement: string])[] = [
  ["Date.now()", "const found = Date.now();"],
  ["new Date()", "const found = new Date().getTime();"],
  ["performance.now()", "const found = performance.now();"],
  ["Math.random()", "const found = Math.random();"],
  ["crypto.randomUUID()", "const found = crypto.randomUUID();"],
  ["process.env", "const found = process.env.REGION;"],
  ["a log", `console.log("loading"); const found = 1;`],
];
for (const [what, statement] of impure) {
  test(`a module that uses ${what} is evaluated in each process, and replays alike`, async () => {
    const text = `
      import { ask } from "./host.ts";
      ${statement}
      export default async () => [found, await ask()];`;
    const { built, known, subject, evaluated } = await run(text);
    assert.equal(evaluated, false);
    await replaysAlike(subject, known);
    await subject.turn(resolved(1, "x"));
    const first = JSON.stringify(subject.exit);
    // Another process has another seed, and begins at another time.
    const other = new Process(localMachine(known), built, 2);
    other.timeMs += 5;
    await other.start("default");
    await other.turn(resolved(1, "x"));
    const second = JSON.stringify(other.exit);
    const differs = /Date|random/.test(what);
    assert.equal(first !== second, differs, `${first} and ${second}`);
  });
}

describe("modules that wait", () => {
  test("for an operation at top level: the entry begins when its result is there", async () => {
    const text = `
      import { ask } from "./host.ts";
      const loaded = await ask();
      export default async (): Promise<any> => [loaded, await ask()];`;
    const { known, subject, evaluated } = await run(text);
    assert.equal(evaluated, false);
    await replaysAlike(subject, known);
    await subject.turn(resolved(1, "loaded"));
    await subject.turn(resolved(2, "more"));
    assert.deepEqual(subject.exit?.value, ["loaded", "more"]);
  });

  test("for a timer, and one that lasts", async () => {
    const text = `
      await new Promise((resolve) => setTimeout(resolve, 10));
      setInterval(() => console.log("tick"), 1000);
      export default async () => { await new Promise(() => {}); };`;
    const { known, subject, evaluated } = await run(text);
    assert.equal(evaluated, false);
    await subject.turn(timer(1));
    await subject.turn(timer(2));
    assert.deepEqual(subject.logs, ["tick"]);
    await replaysAlike(subject, known);
  });

  test("for nothing that ever comes leave the process waiting", async () => {
    const { subject, evaluated } = await run(`await new Promise(() => {}); export default async () => 1;`);
    assert.deepEqual([evaluated, subject.commands], [false, []]);
  });
});

describe("modules that fail", () => {
  test("by throwing end each of their processes with that error", async () => {
    const { subject, evaluated } = await run(`export default async () => 1; throw new RangeError("at load");`);
    assert.equal(evaluated, false);
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["error", "at load"]);
  });

  test("by a rejection nobody handles do so too", async () => {
    const { subject } = await run(
      `void Promise.reject(new Error("lost")); export default async () => new Promise(() => {});`,
    );
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["error", "lost"]);
  });

  test("by a bundle that does not parse end their processes with the SyntaxError", async () => {
    const built = { ...(await program("export default 1;")), bundle: "const x = ;" };
    const subject = new Process(localMachine(sources(built)), built, 1);
    const { reason, value } = await subject.ends("default");
    assert.deepEqual([reason, (value as Error).name], ["error", "SyntaxError"]);
  });

  test("by too much memory end their processes as out_of_memory", async () => {
    const text = `const all: string[] = []; for (;;) all.push("x".repeat(1e6) + all.length); export default async () => all;`;
    const built = await program(text);
    const limits = { memoryBytes: 24 * 1024 * 1024, stackBytes: 256 * 1024 };
    const subject = new Process(localMachine(sources(built), { limits }), built, 1);
    assert.equal((await subject.ends("default")).reason, "out_of_memory");
  });
});

test("a prelude that does not evaluate breaks the process, with what it says", async () => {
  const built = { ...(await program("export default async () => 1;")), prelude: `throw new Error("no prelude")` };
  const subject = new Process(localMachine(sources(built)), built, 1);
  const outcome = await subject.attempt([subject.startInput("default")]);
  assert.ok(outcome.kind === "broken" && outcome.detail.includes("no prelude"), JSON.stringify(outcome));
});

describe("a program without an entry function", () => {
  test("ends when it waits for nothing: no operation, no timer, no message", async () => {
    const text = `
      import { ask } from "./host.ts";
      console.log("begins");
      setTimeout(() => console.log("timer"), 10);
      console.log(await ask());`;
    const { known, subject } = await run(text, "");
    assert.equal(subject.exit, undefined);
    await subject.turn(resolved(1, "answer"));
    assert.equal(subject.exit, undefined);
    await replaysAlike(subject, known);
    await subject.turn(timer(1));
    assert.deepEqual(
      [subject.logs, subject.exit],
      [["begins", "answer", "timer"], { reason: "normal", value: undefined }],
    );
  });

  test("ends in its first turn if there is nothing to wait for, be it in the image or not", async () => {
    for (const text of [`const x = 1;`, `console.log("x");`]) {
      const { subject } = await run(text, "");
      assert.deepEqual(subject.exit, { reason: "normal", value: undefined });
    }
  });

  test("that waits for a message goes on waiting", async () => {
    const { subject } = await run(`import { receive } from "perdure"; console.log(await receive());`, "");
    await subject.turn();
    assert.equal(subject.exit, undefined);
  });

  test("that has a default function after all runs it", async () => {
    const { subject } = await run(`export default async () => "run";`, "");
    assert.deepEqual(subject.exit, { reason: "normal", value: "run" });
  });

  test("ends with the error its modules threw", async () => {
    const { subject } = await run(`throw new Error("at load");`, "");
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["error", "at load"]);
  });
});

describe("images", () => {
  test("are the same whoever builds them, and a cached one serves as well as a new one", async () => {
    const { built, known, subject } = await run(
      `export default async (...args: any) => [args, await new Promise(() => {})];`,
    );
    const [image] = known.images.values();
    const second = sources(built);
    const again = new Process(localMachine(second), built, 1);
    await again.start("default");
    assert.deepEqual([...second.images.values()][0], image);
    await replaysAlike(subject, known);
  });

  test("that are damaged in the cache, or cannot be read from it, are built again", async () => {
    const { built, known } = await run(`export default async () => "well";`);
    const [key, image] = [...known.images][0] as [string, Uint8Array];
    known.images.set(key, image.subarray(0, image.length - 1));
    const unreadable = { ...known, loadImage: () => Promise.reject(new Error("disk")) };
    for (const each of [known, unreadable]) {
      const subject = new Process(localMachine(each), built, 1);
      await subject.start("default");
      assert.equal(subject.exit?.value, "well");
    }
    assert.deepEqual(known.images.get(key), image);
  });

  test("of programs that were not used for long are read again, and their processes go on", async () => {
    const base = await program(`export default async () => "MARK";`);
    const known = Array.from({ length: 18 }, (_, number) => {
      return { ...base, hash: `program ${number}`, bundle: base.bundle.replace("MARK", `m${number}`) };
    });
    const machine = localMachine(sources(...known));
    for (const [turn, each] of [...known, ...known.slice(0, 2)].entries()) {
      const subject = new Process(machine, each, 1 + turn);
      await subject.start("default");
      assert.equal(subject.exit?.value, `m${turn % 18}`);
    }
  });
});

describe("a module that never finishes loading", () => {
  const spins = `for (;;); export default async () => 1;`;
  const awaits = `for (;;) await null; export default async () => 1;`;
  for (const [what, text] of [
    ["a loop", spins],
    ["a loop of awaits", awaits],
  ] as const) {
    test(`does not hold up other programs meanwhile: ${what}`, async () => {
      const [bad, good] = [await program(text), await program(`export default async () => "well";`)];
      const machine = localMachine(sources(bad, good), { fuelInterrupts: 100 });
      const hopeless = new Process(machine, bad, 1);
      void hopeless.attempt([hopeless.startInput("default")]);
      for (const key of [2, 3, 4]) {
        const subject = new Process(machine, good, key);
        await subject.start("default");
        assert.equal(subject.exit?.value, "well");
      }
      await machine.machine.close();
    });
  }
});

test("what a process draws depends on its seed alone", async () => {
  const { built, known } = await run(`export default async () => { console.log(String(Math.random())); };`);
  const digests = async (key: number): Promise<readonly CommandDigest[] | undefined> => {
    const subject = new Process(localMachine(known), built, key);
    await subject.start("default");
    return subject.journal[0]?.commands;
  };
  assert.deepEqual(await digests(1), await digests(1));
  assert.notDeepEqual(await digests(1), await digests(2));
});
