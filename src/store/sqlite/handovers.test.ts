import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { keepHandoverMs } from "../handovers.ts";
import { HandoverFolder } from "./handovers.ts";

const file = "0123456789abcdefghjk";
const refusal = { code: "IMPORT_REFUSED", message: "not this one" } as const;

interface Fixture {
  readonly folder: string;
  readonly handovers: HandoverFolder;
  /** Hands over one, and answers its id. */
  hand(): Promise<string>;
}

async function fixture(t: TestContext): Promise<Fixture> {
  const place = await mkdtemp(path.join(tmpdir(), "perdure-folder-"));
  t.after(() => rm(place, { recursive: true }));
  const store = path.join(place, "perdure.db");
  const handovers = new HandoverFolder(store);
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("one");
  };
  const hand = (): Promise<string> => handovers.handOver({ file, paused: false, bytes: bytes(), nowMs: Date.now });
  return { folder: `${store}-imports`, handovers, hand };
}

test("a file that somebody has removed, or its whole folder, is not said to be imported", async (t) => {
  const { folder, handovers, hand } = await fixture(t);
  const [one, two] = [await hand(), await hand()];
  await rm(path.join(folder, `${one}.perdure`));
  assert.deepEqual(await handovers.outcome(one), { state: "gone" });
  assert.deepEqual(await handovers.outcome(two), { state: "waiting" });
  await rm(folder, { recursive: true });
  assert.deepEqual(await handovers.outcome(two), { state: "gone" });
  assert.deepEqual(await handovers.waiting(Date.now()), []);
});

test("beginnings count as long as their file waits, and what is not of the folder's own stays untouched", async (t) => {
  const { folder, handovers, hand } = await fixture(t);
  const id = await hand();
  await handovers.take(id);
  await mkdir(path.join(folder, "stray"));
  await mkdir(path.join(folder, "stray.begun"));
  for (const name of await readdir(folder)) await utimes(path.join(folder, name), 0, 0);
  const later = Date.now() + 2 * keepHandoverMs;
  for (let time = 0; time < 2; time++)
    assert.deepEqual(await handovers.waiting(later), [{ id, file, paused: false, begins: 1 }]);
  assert.ok(existsSync(path.join(folder, "stray")));
  await rm(path.join(folder, `${id}.perdure`));
  assert.deepEqual(await handovers.waiting(later), []);
  assert.deepEqual((await readdir(folder)).sort(), ["stray", "stray.begun"]);
});

test("what has ended never waits again, also if the node died before it could remove it", async (t) => {
  const { folder, handovers, hand } = await fixture(t);
  const looks = [(id: string) => handovers.outcome(id), () => handovers.waiting(Date.now())];
  for (const look of looks) {
    const id = await hand();
    const place = path.join(folder, `${id}.perdure`);
    const copy = `${folder}.copy`;
    await copyFile(place, copy);
    await handovers.ended(id, Date.now(), refusal);
    await copyFile(copy, place);
    await look(id);
    assert.equal(existsSync(place), false);
    assert.deepEqual(await handovers.waiting(Date.now()), []);
  }
});
