import { join } from "node:path";
import { encodeValue } from "../dist/base/value.js";
import { Child } from "./child.ts";
import type { PayloadMethods } from "./children/payload.ts";
import { fixed } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";
import { payloadText } from "./programs/payload-text.ts";
import { storeSize } from "./store-file.ts";
import type { StoreSize } from "./store-file.ts";

const processes = 1_000;
const mostBytes = 150;
const payloadBytes = Buffer.byteLength(encodeValue(payloadText).text);

export const disk: Benchmark = {
  name: "disk",
  title: "Disk: bytes of a step",
  measures: `${fixed(processes)} processes perform 100 operations each, every one of which gives a text of ${payloadText.length} characters: that text is the
payload. How much the file grows from when all have been started to when all are through and still alive, each time
after the node was closed and its log checkpointed. Snapshots are a cache and counted apart; so are pages that are free
and will be used before the file grows.`,
  limitMs: 300_000,
  run,
};

async function run(context: Context): Promise<Outcome> {
  const store = join(context.folder, "disk.db");
  const notes = context.quick ? 20 : 100;
  context.progress("starting");
  await inChild((child) => child.call("prepare", store, processes, notes));
  const before = storeSize(store);
  context.progress(`${fixed(notes * processes)} steps`);
  const elapsedMs = await inChild((child) => child.call("work", store, processes));
  // Being let in is an operation too, whose result is `undefined`.
  const steps = (notes + 1) * processes;
  const payload = (notes * payloadBytes * processes + processes) / steps;
  return outcome(before, storeSize(store), steps, payload, elapsedMs);
}

async function inChild<T>(work: (child: Child<PayloadMethods>) => Promise<T>): Promise<T> {
  const child = new Child<PayloadMethods>("payload");
  const result = await work(child);
  await child.kill();
  return result;
}

function outcome(before: StoreSize, after: StoreSize, steps: number, payload: number, elapsedMs: number): Outcome {
  const growth = (of: (size: StoreSize) => number): number => (of(after) - of(before)) / steps;
  const table = (name: string) => growth(({ tables }) => tables.get(name) ?? 0);
  const all = growth(({ sizeBytes }) => sizeBytes);
  const snapshots = table("snapshot");
  const free = growth(({ freeBytes }) => freeBytes);
  const beyond = all - snapshots - payload;
  const snapshotCount = after.snapshotCount - before.snapshotCount;
  return {
    verdicts: [
      {
        what: "bytes a step beyond payload and snapshots, free pages included",
        target: `≤ ${mostBytes}`,
        figure: fixed(beyond),
        met: beyond <= mostBytes,
      },
    ],
    tables: [
      {
        caption: `${fixed(steps)} steps at ${fixed((steps * 1000) / elapsedMs)} a second; the file went from ${fixed(before.sizeBytes)} to ${fixed(after.sizeBytes)} bytes, with ${fixed(snapshotCount)} more snapshots.`,
        head: ["", "bytes a step"],
        rows: [
          ["growth of the file", fixed(all, 1)],
          ["of that, payload", fixed(payload, 1)],
          ["of that, snapshots", fixed(snapshots, 1)],
          ["of that, free pages", fixed(free, 1)],
          ["journal with its index", fixed(table("journal"), 1)],
          ["operations", fixed(table("operation"), 1)],
          ["beyond payload and snapshots", fixed(beyond, 1)],
          ["beyond payload, snapshots and free pages", fixed(beyond - free, 1)],
        ],
      },
    ],
  };
}
