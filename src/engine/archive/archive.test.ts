import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { arbitraryTurn } from "../../../test/arbitrary-turns.ts";
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value.ts";
import type { Turn } from "../../journal/types.ts";
import { createMemoryStore } from "../../store/memory/index.ts";
import type { MemoryStore } from "../../store/memory/index.ts";
import { everyInput, exit, process, program, startMs, turn } from "../../store/suite/samples.ts";
import type { StoreReader } from "../../store/port.ts";
import { ArchiveFolder } from "./folder.ts";
import { fromPayload, toPayload, turnLine } from "../lines/json.ts";
import { readLine } from "./format.ts";
import type { ArchivedProcess } from "./format.ts";
import { archiveLines, readArchive } from "./read.ts";
import { ArchiveFile, NotWhole } from "./write.ts";

const atMs = startMs;

function fileFor(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), "perdure-archive-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return path.join(folder, "a.jsonl.gz");
}

const turns: readonly Turn[] = [turn(1, { inputs: everyInput }), ...Array.from({ length: 250 }, (_, i) => turn(i + 2))];
const said = ["line\nbreak", "separators \u2028 and \u2029", ...Array.from({ length: 600 }, (_, i) => `said ${i}`)];

/** Three finished processes; the first has all there is. */
async function filled(): Promise<MemoryStore> {
  const store = createMemoryStore({ id: "store 1" });
  await store.claim(atMs);
  await store.putProgram(program, []);
  await store.commit({
    atMs,
    newProcesses: [process(1, { label: "first", role: "server" }), process(2), process(3), process(4)],
    turns: turns.map((each) => ({ process: 1, turn: each })),
    logs: said.map((text) => ({ process: 1, turn: 1, atMs, level: "log", text })),
    restores: [{ process: 1, life: 2, turn: 9, from: 4 }],
    exits: [1, 2, 3].map((key) => ({ process: key, exit })),
  });
  return store;
}

async function written(file: string, store: MemoryStore, keys: readonly number[] = [1, 2, 3]): Promise<void> {
  const archive = await ArchiveFile.create(file);
  for (const key of keys) await archive.add(store, key, atMs);
  await archive.sync();
  await archive.close();
}

async function read(file: string): Promise<ArchivedProcess[]> {
  const all: ArchivedProcess[] = [];
  for await (const each of readArchive(file)) all.push(each);
  return all;
}

/** Reading the turns of process 1 fails. */
function breaking(store: StoreReader, error: Error): StoreReader {
  return new Proxy<StoreReader>(store, {
    get: (target, name) => {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown =>
        name === "turns" && args[0] === 1 ? Promise.reject(error) : value.apply(target, args);
    },
  });
}

function folderOf(folder: string, store: StoreReader): ArchiveFolder {
  return new ArchiveFolder(folder, store, { nowMs: () => atMs, after: () => () => undefined });
}

describe("an archive", () => {
  test("holds everything of the processes that were written", async (t) => {
    const file = fileFor(t);
    await written(file, await filled());
    const [first, second, third, ...more] = await read(file);
    const { state: _, problem: __, ...row } = process(1, { label: "first", role: "server", life: 2 });
    assert.deepEqual(first, {
      ...row,
      exit,
      file: program.file,
      restores: [{ turn: 9, from: 4 }],
      store: "store 1",
      archivedAtMs: atMs,
      turns,
      logs: said.map((text) => ({ turn: 1, atMs, level: "log", text })),
    });
    assert.deepEqual([second?.pid, third?.pid, more.length], ["p2", "p3", 0]);
  });

  test("is text that people can read, with a line for each fact", async (t) => {
    const file = fileFor(t);
    await written(file, await filled());
    const lines = gunzipSync(readFileSync(file)).toString("utf8").split("\n");
    const [header, start] = lines.map((line) => JSON.parse(line || "{}") as Record<string, any>);
    assert.deepEqual(
      [header?.["kind"], header?.["archive"], header?.["pid"], header?.["exit"].value],
      ["process", 1, "p1", { json: "done" }],
    );
    assert.deepEqual(start?.["inputs"][0].args, { json: [] });
    assert.equal(lines.filter((line) => line.startsWith('{"kind":"end"')).length, 3);
  });

  test("can be joined with others", async (t) => {
    const [one, two] = [fileFor(t), fileFor(t)];
    const store = await filled();
    await written(one, store, [1, 2]);
    await written(two, store, [3]);
    appendFileSync(one, readFileSync(two));
    assert.deepEqual(
      (await read(one)).map(({ pid }) => pid),
      ["p1", "p2", "p3"],
    );
  });

  test("takes nothing of a process that is not whole, and goes on with others", async (t) => {
    const file = fileFor(t);
    const store = await filled();
    store.damageTurn(1, 220);
    const archive = await ArchiveFile.create(file);
    await archive.add(store, 2, atMs);
    for (const key of [1, 4, 9]) await assert.rejects(archive.add(store, key, atMs), NotWhole);
    await archive.add(store, 3, atMs);
    await archive.close();
    assert.deepEqual(
      (await read(file)).map(({ pid }) => pid),
      ["p2", "p3"],
    );
  });

  test("a folder of archives is made with all folders above it, and whatever is wrong with one process keeps no other out", async (t) => {
    const folder = path.join(path.dirname(fileFor(t)), "a", "b");
    const store = await filled();
    const wrongs = [new PerdureError("STORE_CORRUPT", "A page is damaged."), new RangeError("Invalid string length")];
    for (const wrong of wrongs) {
      const archives = folderOf(folder, breaking(store, wrong));
      assert.deepEqual(await archives.add(await store.finished(undefined, Infinity, 9)), [
        { key: 1, reason: wrong.message },
      ]);
      await archives.close();
    }
    const files = readdirSync(folder);
    assert.equal(files.length, wrongs.length);
    for (const file of files) {
      assert.deepEqual(
        (await read(path.join(folder, file))).map(({ pid }) => pid),
        ["p2", "p3"],
      );
    }
  });

  test("a folder is not filled with empty files while nothing can be archived", async (t) => {
    const folder = path.dirname(fileFor(t));
    const store = await filled();
    const archives = folderOf(folder, breaking(store, new PerdureError("STORE_FAILED", "An I/O error.")));
    const rows = await store.finished(undefined, Infinity, 9);
    for (let i = 0; i < 3; i++) await assert.rejects(archives.add(rows), { code: "STORE_FAILED" });
    assert.deepEqual(readdirSync(folder), []);
  });

  test("a store that cannot be read is not the process's fault", async (t) => {
    const store = await filled();
    const archive = await ArchiveFile.create(fileFor(t));
    await store.close();
    await assert.rejects(archive.add(store, 1, atMs), { code: "STORE_FAILED" });
    await archive.close();
  });

  test("a process that is pruned while it is read is not whole", async (t) => {
    const store = await filled();
    let calls = 0;
    const handle = store.open({ decide: (call) => (call === "turns" && ++calls === 2 ? pruning : undefined) });
    const pruning = (async () => void (await store.prune({ atMs, processes: [1], rows: 50 })))();
    const archive = await ArchiveFile.create(fileFor(t));
    await assert.rejects(archive.add(handle, 1, atMs), NotWhole);
    await archive.close();
  });

  test("never takes the place of a file", async (t) => {
    const file = fileFor(t);
    writeFileSync(file, "precious");
    await assert.rejects(ArchiveFile.create(file), { code: "ARCHIVE_FAILED" });
    assert.equal(readFileSync(file, "utf8"), "precious");
  });
});

describe("a damaged archive", () => {
  const codeOf = async (file: string): Promise<[string | undefined, number]> => {
    let whole = 0;
    try {
      for await (const { record } of archiveLines(file)) if (record?.kind === "end") whole++;
      return [undefined, whole];
    } catch (error) {
      return [isPerdureError(error) ? error.code : String(error), whole];
    }
  };

  test("cut off anywhere gives what is whole before, and says so", async (t) => {
    const file = fileFor(t);
    const store = await filled();
    await written(file, store, [2, 3]);
    const sizeBytes = statSync(file).size;
    for (let cut = sizeBytes - 1; cut > 10; cut -= 7) {
      truncateSync(file, cut);
      const [code, whole] = await codeOf(file);
      // Of the last eight bytes nothing of a process depends.
      const isWhole = cut >= sizeBytes - 8;
      assert.deepEqual([cut, code, whole <= (isWhole ? 2 : 1)], [cut, "ARCHIVE_DAMAGED", true]);
      if (cut > (sizeBytes * 2) / 3) assert.ok(whole >= 1, `cut at ${cut}: ${whole}`);
    }
  });

  test("with any byte changed never gives a process that was not written", async (t) => {
    const file = fileFor(t);
    await written(file, await filled(), [2, 3]);
    const bytes = readFileSync(file);
    const before = await read(file);
    for (let at = 10; at < bytes.length; at += 5) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      writeFileSync(file, changed);
      const found: ArchivedProcess[] = [];
      try {
        for await (const each of readArchive(file)) found.push(each);
      } catch (error) {
        assert.ok(isPerdureError(error, "ARCHIVE_DAMAGED"), String(error));
      }
      for (const each of found) assert.ok(before.some((one) => JSON.stringify(one) === JSON.stringify(each)));
    }
  });

  for (const [what, text] of [
    ["a changed line", (lines: string[]) => [lines[0], lines[1]?.replace('"turns":0', '"turns":1')]],
    ["a line of nobody", (lines: string[]) => lines.slice(1)],
    ["a process without its end", (lines: string[]) => [lines[0], lines[0], lines[1]]],
    ["no JSON", () => ["hello"]],
    ["a newer version", (lines: string[]) => [lines[0]?.replace('"archive":1', '"archive":2'), lines[1]]],
  ] as const) {
    test(`${what} is refused`, async (t) => {
      const file = fileFor(t);
      await written(file, await filled(), [2]);
      const lines = gunzipSync(readFileSync(file)).toString("utf8").trimEnd().split("\n");
      writeFileSync(file, gzipSync(`${text(lines).join("\n")}\n`));
      await assert.rejects(read(file), { code: "ARCHIVE_DAMAGED" });
    });
  }

  test("a file that is no archive, or is not there, is refused", async (t) => {
    const file = fileFor(t);
    await assert.rejects(read(file), { code: "ARCHIVE_FAILED" });
    writeFileSync(file, "plain text, and no gzip at all");
    await assert.rejects(read(file), { code: "ARCHIVE_DAMAGED" });
  });
});

describe("the lines of an archive", () => {
  test("give every turn back as it was", () => {
    fc.assert(
      fc.property(arbitraryTurn, (each) => {
        assert.deepEqual(readLine(turnLine(each)), { kind: "turn", turn: each });
      }),
    );
  });

  test("give every payload back to the last character", () => {
    const values = [
      undefined,
      null,
      1.5,
      "\u2028",
      { __proto__: null, a: 1 },
      [undefined, 2n, new Uint8Array([1, 255])],
    ];
    const odd = ["", "j", "j{ }", "j1.0", "v", "vx", "v[[1],[]] ", "u!", "x", 'j{"a":1,"a":2}'];
    const payloads = [
      ...values.map((value) => encodeValue(value)),
      ...odd.map((text) => ({ text })),
      { text: "u", chunks: [] },
      { text: 'j"a"', chunks: [new Uint8Array([7])] },
    ];
    for (const payload of payloads) {
      assert.deepEqual(toPayload(JSON.parse(JSON.stringify(fromPayload(payload))) as Record<string, unknown>), payload);
    }
  });

  test("of a kind that is not known are passed over", () => {
    assert.equal(readLine('{"kind":"picture"}'), undefined);
  });
});
