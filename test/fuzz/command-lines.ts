/**
 * Fuzzing of the command line, in a process of its own: `node test/fuzz/command-lines.ts FOLDER SEED CASES`. The commands run for
 * real, on a small store in FOLDER, one after the other. Fails with the words that were not answered by one clear line and a code.
 */
import assert from "node:assert/strict";
import path from "node:path";
import fc from "fast-check";
import { createCli, main } from "../../src/cli/cli.ts";
import type { CommitBatch } from "../../src/store/port.ts";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import * as sample from "../../src/store/suite/samples.ts";

const mostMs = 20_000;
/** These start a node when they have what they ask for; here they never have. */
const starting = new Set(["run", "serve", "resume"]);
/** Waits as long as somebody types. */
const endless = /^-f|^--f|^-.*f/;

const pids = ["p1", "p2", "p3", "counter"];
const word = fc.oneof(
  fc.constantFrom(
    ...pids,
    ...pids,
    "--json",
    "--store",
    "perdure.db",
    "nowhere.db",
    ".",
    "memory:",
    "",
    "--",
    "-",
    "=",
    "1",
    "0",
  ),
  fc.constantFrom(
    "-1",
    "99999999999999999999",
    "1e3",
    "show",
    "drop",
    "resend",
    "[1",
    '{"a":1}',
    "running",
    "error",
    "started",
  ),
  fc.string({ maxLength: 8 }),
  fc.string({ unit: "binary", maxLength: 6 }),
);

function commandWords(): fc.Arbitrary<string[]> {
  const commands = createCli().commands.map((command) => ({
    name: command.name(),
    options: command.options.flatMap(({ long, short }) => [long ?? "", short ?? ""]),
  }));
  const known = fc.constantFrom(...commands).chain(({ name, options }) => {
    const option = fc.oneof(
      fc.constantFrom(...options),
      fc.constantFrom(...options).chain((each) => word.map((value) => `${each}=${value}`)),
    );
    const rest = fc.array(fc.oneof(word, option), { maxLength: 5 });
    const elsewhere = starting.has(name) ? ["--store", "nowhere.db", "missing.ts"] : [];
    return rest.map((words) => [name, ...elsewhere, ...words]);
  });
  const unknown = fc.array(word, { maxLength: 4 });
  return (
    fc
      .oneof({ arbitrary: known, weight: 8 }, unknown)
      // No argument of a program can hold NUL, and `run` is to find no program.
      .map((words) => words.map((each) => each.replaceAll("\0", "")).filter((each) => !endless.test(each)))
  );
}

async function makeStore(folder: string): Promise<void> {
  const store = await openSqliteStore(path.join(folder, "perdure.db"));
  await store.claim(sample.startMs);
  await store.putProgram(sample.program, []);
  const odd = { text: 'v[[1],["e","Error","name",[2],"message",[2],3,[1]],["s",4294967295,"7",[1]]]' };
  const batch: CommitBatch = {
    atMs: sample.startMs,
    newProcesses: [
      sample.process(1),
      sample.process(2, { parent: "p1", label: "a\n\u001b[2J", role: "server" }),
      sample.process(3, { parent: "p2" }),
    ],
    turns: [1, 2, 3].map((key) => ({
      process: key,
      turn: sample.turn(1, { inputs: sample.everyInput.slice(0, 4), commands: [] }),
    })),
    operations: [sample.operation(1, 1)],
    timers: [sample.timer(1, 1, { dueMs: 8.64e15 })],
    inbox: sample.everyInput.slice(4).map((input) => ({ process: 1, input, atMs: sample.startMs })),
    logs: [sample.log(1, 1, "a\r\n\u001b[31m")],
    names: [{ name: "counter", process: 2 }],
    exits: [{ process: 3, exit: { atMs: sample.startMs, reason: "error", value: odd } }],
    deadLetters: [sample.deadLetter(2, "x"), { ...sample.deadLetter(2, "y"), value: odd }],
  };
  await store.commit(batch);
  await store.release(sample.startMs);
  await store.close();
}

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** As `bin/perdure.js` runs it, but that the process goes on. */
async function answer(words: readonly string[]): Promise<Answer> {
  const { exit } = process;
  const writes = [process.stdout.write, process.stderr.write] as const;
  let code: number | undefined;
  const heard = ["", ""];
  process.exit = ((given?: number) => void (code ??= given ?? 0)) as typeof process.exit;
  for (const [index, stream] of [process.stdout, process.stderr].entries()) {
    stream.write = (text: string | Uint8Array) => {
      heard[index] += String(text);
      return true;
    };
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it ran for more than ${mostMs} ms`)), mostMs);
  });
  try {
    await Promise.race([main(words), late]);
  } finally {
    clearTimeout(timer);
    process.exit = exit;
    [process.stdout.write, process.stderr.write] = writes;
  }
  return { code: code ?? 0, out: heard[0] ?? "", err: heard[1] ?? "" };
}

async function check(words: readonly string[]): Promise<void> {
  const { code, out, err } = await answer(words);
  const said = `it exited with ${code} and said ${JSON.stringify(err)}`;
  assert.ok([0, 1, 2, 3].includes(code), said);
  assert.doesNotMatch(err, /Perdure itself failed|^ +at .*\.(ts|js):\d+/m, said);
  if (code === 2) assert.match(err, /^perdure: [A-Z]+_[A-Z]+: \S[^\r\n]*\n$/, said);
  if (code !== 0) assert.notEqual(out + err, "", said);
  // The word may also be the value of an option.
  if (words.includes("--json") && out !== "" && code === 1) assert.doesNotThrow(() => JSON.parse(out) as unknown, said);
}

const [folder = "", seed = "", cases = ""] = process.argv.slice(2);
process.chdir(folder);
delete process.env["PERDURE_STORE"];
delete process.env["PERDURE_DEBUG"];
await makeStore(folder);
await fc.assert(fc.asyncProperty(commandWords(), check), { seed: Number(seed), numRuns: Number(cases) });
process.exit(0);
