/** What the tests of whole stores that move have in common: the two ends, what is in the one, and how it fails on the way. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Mover } from "../migration/port.ts";
import { migrate } from "../migration/run.ts";
import type { MigrateReport } from "../migration/run.ts";
import type { ProcessRow, Store } from "../port.ts";
import type { StoreFixture } from "./fixture.ts";
import { observe } from "./model.ts";
import type { Movable } from "./places.ts";
import {
  checkpoint,
  deadLetter,
  edge,
  everyInput,
  exit,
  message,
  monitor,
  operation,
  process,
  program,
  snapshot,
  startMs,
  timer,
  turn,
} from "./samples.ts";

export type MovableFixture = StoreFixture & Movable;

/** Fresh stores of two kinds. */
export interface Ends {
  from(): Promise<MovableFixture>;
  to(): Promise<MovableFixture>;
}

export const atMs: number = startMs;
/** Small, so that each table takes several. */
const batch = { rows: 3, bytes: 500 };

export async function withEnds(
  ends: Ends,
  run: (from: MovableFixture, to: MovableFixture) => Promise<void>,
): Promise<void> {
  const from = await ends.from();
  const to = await ends.to();
  try {
    await run(from, to);
  } finally {
    await from.dispose();
    await to.dispose();
  }
}

export function rule(ends: Ends, name: string, run: (from: MovableFixture, to: MovableFixture) => Promise<void>): void {
  test(name, () => withEnds(ends, run));
}

export type Wrap = (mover: Mover, role: "source" | "target") => Mover;

export async function move(
  from: MovableFixture,
  to: MovableFixture,
  { nowMs = atMs, wrap = (mover) => mover }: { readonly nowMs?: number; readonly wrap?: Wrap } = {},
): Promise<MigrateReport> {
  const [source, target] = [await from.mover(), await to.mover()];
  try {
    return await migrate(wrap(source, "source"), wrap(target, "target"), { id: `m${nowMs}`, nowMs, batch });
  } finally {
    await source.close();
    await target.close();
  }
}

export async function owner(fixture: MovableFixture, nowMs: number = atMs): Promise<Store> {
  const store = await fixture.open();
  await store.claim(nowMs);
  return store;
}

export async function leave(store: Store): Promise<void> {
  await store.release(atMs);
  await store.close();
}

const blobs = [new Uint8Array([1, 2]), new Uint8Array(3000).fill(7), new Uint8Array()] as const;
const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const texts = ["", "a\u0000b", "é 漢 🙂", "\uf8fe"];

export async function filled(fixture: MovableFixture): Promise<Store> {
  const store = await owner(fixture);
  await fill(store);
  return store;
}

/** Processes in all states, with a row in every table. */
export async function fill(store: Store): Promise<void> {
  await store.putProgram(program, [
    { hash: hashOf(blobs[0]), bytes: blobs[0] },
    { hash: hashOf(blobs[1]), bytes: blobs[1] },
  ]);
  await store.putBlob(hashOf(blobs[2]), blobs[2]);
  const states: readonly ProcessRow["state"][] = ["running", "paused", "broken", "moving"];
  await store.commit({
    atMs,
    newProcesses: [
      process(1, { role: "supervisor", trapsExits: true }),
      ...states.map((state, i) =>
        process(i + 2, {
          state,
          problem: texts[i] ?? "",
          parent: "p1",
          needs: i === 0 ? "gpu" : "",
          label: `c${i}`,
          restarts: i,
        }),
      ),
      process(6, { state: "crashed", held: true, exit: { ...exit, reason: "error" } }),
      ...[7, 8, 9].map((key) => process(key)),
    ],
    turns: [1, 2, 3].flatMap((number) => [1, 2, 7, 8].map((key) => ({ process: key, turn: turn(number) }))),
    operations: [
      operation(1, 1, { state: "quarantined", deaths: 5, lastError: texts[1] ?? "", startedAtMs: atMs }),
      operation(2, 1, { notBeforeMs: atMs + 0.25, attempt: 3 }),
    ],
    timers: [timer(1, 1, { clock: "service", dueMs: atMs + 0.5 }), timer(2, 2)],
    inbox: [...everyInput.map((input) => ({ process: 3, input, atMs })), { process: 1, input: message, atMs }],
    edges: texts.map((key) => ({ ...edge(1, `k${key}`), state: "open" as const })),
    edgeEnds: [{ process: 1, key: "k", digest: edge(1, "k").digest, state: "answered", answer: { text: "j1" } }],
    logs: texts.map((text) => ({ process: 1, turn: 1, atMs, level: "warn", text })),
    links: [2, 3].map((b) => ({ a: 1, b })),
    monitors: [monitor(1, 1, 2), monitor(2, 1, 1)],
    names: texts.map((name) => ({ name: `n${name}`, process: 1 })),
    groups: texts.map((name) => ({ name: `g${name}`, process: 2 })),
    checkpoints: [{ ...checkpoint(1, 1), ties: [2, 3] }],
    restores: [{ process: 2, life: 2, turn: 3, from: 1 }],
    deadLetters: [deadLetter(1, "x"), deadLetter(2, "y")],
    snapshots: [snapshot(1, 2), snapshot(1, 3), snapshot(2, 3)],
  });
}

export async function everything(store: Store): Promise<void> {
  await store.commit({
    atMs,
    exits: [7, 9].map((key) => ({ process: key, exit })),
    logs: [7, 8, 7].map((key) => ({ process: key, turn: 1, atMs, level: "info", text: "left" })),
    inbox: [{ process: 8, input: message, atMs }],
  });
  const late = { file: "f1", sha256: "ab".repeat(32), serviceMs: 77, inboxSeq: 0 };
  await store.commit({ atMs, departures: [{ process: 8, exported: late }] });
  await store.commit({
    atMs,
    newProcesses: [process(10, { pid: "@import:f2", state: "moving" })],
  });
  await store.commit({ atMs, arrivals: [{ process: 10, pid: "arrived", state: "paused", files: ["f2", "f0"] }] });
  assert.deepEqual((await store.prune({ atMs, processes: [7], rows: 1 })).pruned, [7]);
}

/** What `observe` does not look at. */
export async function rest(store: Store): Promise<unknown> {
  return {
    observed: await observe(store),
    programs: await store.programs(),
    blobs: await Promise.all([...blobs.map(hashOf), program.bundle].map((hash) => store.blob(hash))),
    tombstones: await Promise.all(["p7", "p8"].map((pid) => store.tombstone(pid))),
    exports: await store.exports(10),
    imports: await store.imports("arrived"),
    finished: await store.finished(undefined, Number.MAX_SAFE_INTEGER, 10),
    seqs: (await store.logs(undefined, 0, 1000)).map(({ seq }) => seq),
  };
}

export class Interrupted extends Error {}

const writes = ["begin", "fill", "settle", "complete"] as const;

/** Fails at the n-th write of the two, before it is done or after. */
export function failing(n: number, isDone: boolean): { readonly wrap: Wrap; readonly count: () => number } {
  let count = 0;
  const wrap: Wrap = (mover) =>
    new Proxy(mover, {
      get(target, name: keyof Mover) {
        const value: unknown = target[name];
        if (typeof value !== "function") return value;
        const call = (...args: unknown[]): unknown => value.apply(target, args);
        if (!writes.some((write) => write === name)) return call;
        return async (...args: unknown[]) => {
          const isNow = ++count === n;
          if (isNow && !isDone) throw new Interrupted();
          const result: unknown = await call(...args);
          if (isNow) throw new Interrupted();
          return result;
        };
      },
    });
  return { wrap, count: () => count };
}
