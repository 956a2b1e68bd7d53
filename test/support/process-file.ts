/** A process file of a process that has something of everything, made without an engine. */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { edgeAddress } from "../../src/base/edge-key.ts";
import { exportProcess } from "../../src/engine/files/write.ts";
import type { Mover } from "../../src/engine/files/write.ts";
import { lastBatch, onClock } from "../../src/engine/files/import.ts";
import type { ImportTarget } from "../../src/engine/files/import.ts";
import type { Input } from "../../src/journal/types.ts";
import { encodeCheckpoint } from "../../src/kernel/checkpoint-body.ts";
import { engineHash } from "../../src/machine/engine-binary.ts";
import { arrivingPid } from "../../src/store/exports.ts";
import { createMemoryStore } from "../../src/store/memory/index.ts";
import type { MemoryStore } from "../../src/store/memory/index.ts";
import type { Asked, Departure, ExportedRow, ProgramRow } from "../../src/store/port.ts";
import {
  deadLetter,
  edge,
  everyInput,
  message,
  operation,
  process,
  snapshot,
  startMs,
  timer,
  turn,
} from "../../src/store/suite/samples.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const [bundle, sourceMap, prelude] = ["the bundle", "the map", "the prelude"];
export const fileId = "0123456789abcdefghjk";
export const asked: Asked = { key: "late", digest: "ab".repeat(16), about: "x", state: "open" };

export const programRow: ProgramRow = {
  hash: sha256(["perdure program", sha256(prelude), engineHash, bundle].join("\n")),
  file: "/app.ts",
  createdAtMs: startMs,
  bundle: sha256(bundle),
  sourceMap: sha256(sourceMap),
  prelude: sha256(prelude),
  engine: engineHash,
  operations: ["warehouse.ts#charge"],
};

const checkpointBody = encodeCheckpoint({
  operations: [1],
  timers: [{ number: 2, clock: "service", dueMs: startMs + 500 }],
  links: [],
  monitors: [],
  watchers: [],
  trapsExits: true,
  ends: [],
});

/** Process 1 of it has rows of every kind. */
export async function fullStore(): Promise<MemoryStore> {
  const store = createMemoryStore();
  await store.claim(startMs);
  const blobs = [bundle, sourceMap, prelude].map((text) => ({ hash: sha256(text), bytes: Buffer.from(text) }));
  await store.putProgram(programRow, blobs);
  const { reason, value } = deadLetter(1, "x");
  await store.commit({
    atMs: startMs,
    newProcesses: [
      process(1, { program: programRow.hash, argsDigest: "abcd", role: "server", life: 2, trapsExits: true }),
    ],
    turns: [1, 2, 3].map((number) => ({ process: 1, turn: turn(number, { inputs: everyInput }) })),
    operations: [operation(1, 1), operation(1, 2, { state: "quarantined", startedAtMs: startMs, deaths: 5 })],
    timers: [timer(1, 1), timer(1, 2, { clock: "service", dueMs: startMs + 1_000.5 })],
    inbox: [message, { kind: "result", operation: 1, ok: true, value } as const].map((input) => ({
      process: 1,
      input,
      atMs: startMs,
    })),
    edges: [
      { ...edge(1, "a"), state: "open" },
      { ...edge(1, "b"), state: "open" },
      { ...edge(1, "c"), state: "sent" },
    ],
    edgeEnds: [{ ...edge(1, "a"), state: "answered", answer: value }],
    logs: [{ process: 1, turn: 1, atMs: startMs, level: "warn", text: "said \ud83d" }],
    checkpoints: [{ process: 1, turn: 1, body: checkpointBody }],
    restores: [{ process: 1, life: 2, turn: 3, from: 1 }],
    deadLetters: [deadLetter(1, "stays"), { ...deadLetter(1, "taken"), reason }],
    snapshots: [snapshot(1, 3), snapshot(1, 1)],
  });
  return store;
}

/** Moves process 1 without a kernel. `meanwhile` happens when the body is written. */
export function moverOf(store: MemoryStore, meanwhile: () => Promise<void> = () => Promise.resolve()): Mover {
  const state = async (name: "moving" | "running"): Promise<void> =>
    void (await store.commit({ atMs: startMs, states: [{ process: 1, state: name, problem: "" }] }));
  return {
    hold: () => state("moving"),
    back: () => state("running"),
    leave: async (body) => {
      await meanwhile();
      const exported: Departure["exported"] = { file: fileId, serviceMs: startMs - 100, ...body };
      await store.commit({ atMs: startMs + 50, departures: [{ process: 1, exported }] });
      return (await store.exported("p1")) as ExportedRow;
    },
  };
}

export async function fullFile(): Promise<Buffer> {
  const store = await fullStore();
  const mover = moverOf(store, async () => {
    const late: Input = { kind: "message", from: edgeAddress(asked), body: { text: 'j"late"' } };
    await store.post("p1", late, startMs + 1, asked);
    await store.takeDeadLetter(2, undefined, startMs);
  });
  const parts: Uint8Array[] = [];
  for await (const part of exportProcess(store, "p1", mover, { file: fileId, nowMs: startMs, withEngine: false }))
    if (part.kind === "bytes") parts.push(part.bytes);
  return Buffer.concat(parts);
}

export function linesOf(file: Buffer): string[] {
  return gunzipSync(file).toString().split("\n").slice(0, -1);
}

/** A file whose checksums are right, whatever its lines say. */
export function resealed(lines: readonly string[]): Buffer {
  const end = lines.findIndex((line) => line.startsWith('{"kind":"end"'));
  const body = lines.slice(0, end === -1 ? lines.length : end);
  const late = end === -1 ? [] : lines.slice(end + 1).filter((line) => !line.startsWith('{"kind":"seal"'));
  const text = (of: readonly string[]): string => of.map((line) => `${line}\n`).join("");
  const seal = lines.findLast((line) => line.startsWith('{"kind":"seal"')) ?? '{"kind":"seal"}';
  const bodySha256 = sha256(text(body));
  const sealed = { ...parsed(seal), body: bodySha256, late: sha256(text(late)) };
  const all = [
    ...body,
    JSON.stringify({ kind: "end", lines: body.length, sha256: bodySha256 }),
    ...late,
    JSON.stringify(sealed),
  ];
  return gzipSync(text(all));
}

function parsed(line: string): object {
  try {
    return JSON.parse(line) as object;
  } catch {
    return { kind: "seal" };
  }
}

/** A store of tests as the place where a process arrives, under key 7. */
export function targetOf(store: MemoryStore): ImportTarget {
  return {
    begin: async (file, row, { program, blobs }) => {
      await store.putProgram(program, blobs);
      const arriving = { ...row, key: 7, pid: arrivingPid(file), state: "moving" as const, problem: "" };
      await store.commit({ atMs: startMs, newProcesses: [arriving] });
      return 7;
    },
    put: async (rows) => void (await store.commit({ atMs: startMs, ...rows })),
    finish: async (_, rows, serviceMs) =>
      void (await store.commit(lastBatch(onClock(rows, startMs - serviceMs), startMs))),
  };
}

export async function* inPieces(file: Uint8Array, sizeBytes = 500): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.length; at += sizeBytes) yield file.subarray(at, at + sizeBytes);
}
