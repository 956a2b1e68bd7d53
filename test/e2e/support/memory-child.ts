/**
 * Runs recorded turns on a machine of its own and prints, after each, the SHA-256 of the process's whole memory. Arguments:
 * the file of the recording, and a way of running it.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { deserialize } from "node:v8";
import { encodeValue } from "../../../src/base/value.ts";
import type { Turn } from "../../../src/journal/types.ts";
import { compileEngine, readEngineBinary } from "../../../src/machine/engine-binary.ts";
import { decodeImage } from "../../../src/machine/image-file.ts";
import type { Image } from "../../../src/machine/image.ts";
import { createLocalMachine } from "../../../src/machine/local.ts";
import { apply } from "../../../src/machine/pages.ts";
import type { LoadRequest, SnapshotResult, TurnRequest, TurnResult } from "../../../src/machine/port.ts";
import { decodeSnapshot } from "../../../src/machine/snapshot.ts";

export interface Recording {
  readonly pid: string;
  readonly bundle: string;
  readonly prelude: string;
  readonly turns: readonly Turn[];
}

/**
 * - straight: one turn after the other.
 * - crowded: beside a process that spins, so that slices alternate and instances are used again.
 * - replayed: before every third turn, the process is rebuilt from all turns before.
 * - restored: before every third turn, it is rebuilt from the snapshot of two turns ago and the turn after that.
 */
export type Mode = "straight" | "crowded" | "replayed" | "restored";

const recording = deserialize(readFileSync(process.argv[2] ?? "")) as Recording;
const mode = process.argv[3] as Mode;
const key = 7;
const spinner = 8;
const maxSizeBytes = 2 ** 30;

let image: Image | undefined;
let onTurn: (result: TurnResult) => void = () => undefined;
let onSnapshot: (result: SnapshotResult) => void = () => undefined;

const machine = createLocalMachine({
  engine: compileEngine(readEngineBinary()),
  programs: {
    source: async () => ({ bundle: recording.bundle, prelude: recording.prelude }),
    loadImage: async () => undefined,
    saveImage: (name, encoded) => (image = decodeImage(encoded, name, recording.bundle, maxSizeBytes)),
  },
  events: {
    turns: (results) => results.filter(({ process }) => process === key).forEach((result) => onTurn(result)),
    snapshots: ([result]) => result !== undefined && onSnapshot(result),
    failed: (error) => {
      throw error;
    },
  },
});

function request(number: number, rest: Pick<TurnRequest, "timeMs" | "inputs"> & { load?: LoadRequest }): TurnRequest {
  return { process: key, pid: recording.pid, program: "p", number, script: false, ...rest };
}

async function run(turn: Turn, load: LoadRequest | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<TurnResult>();
  onTurn = resolve;
  const { number, timeMs, inputs } = turn;
  machine.run([request(number, load === undefined ? { timeMs, inputs } : { timeMs, inputs, load })]);
  const { outcome } = await promise;
  if (outcome.kind !== "done") throw new Error(`turn ${number}: ${JSON.stringify(outcome)}`);
  const [actual, expected] = [outcome.digests, turn.commands].map((digests) => JSON.stringify(digests));
  if (actual !== expected) throw new Error(`turn ${number} gave ${actual}, recorded was ${expected}`);
}

async function snapshot(): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<SnapshotResult>();
  onSnapshot = resolve;
  machine.snapshot(key);
  return (await promise).body;
}

function wholeMemory(body: Uint8Array, turn: number): Buffer {
  if (image === undefined) throw new Error("there is no image");
  const { delta } = decodeSnapshot(body, image, turn, maxSizeBytes);
  const memory = Buffer.alloc(delta.sizeBytes);
  apply(memory, image.memory, delta);
  return memory;
}

/** How the process is rebuilt before turn `number`; undefined: it is there. */
function loadFor(number: number, snapshots: readonly Uint8Array[]): LoadRequest | undefined {
  if (number < 4 || number % 3 !== 0) return undefined;
  const before = recording.turns.slice(0, number - 1);
  if (mode === "replayed") return { tail: before };
  const body = snapshots[number - 3];
  return mode === "restored" && body !== undefined
    ? { snapshot: { turn: number - 2, body }, tail: before.slice(-1) }
    : undefined;
}

if (mode === "crowded") {
  const start = { kind: "start", entry: "spins", args: encodeValue([]), seed: new Uint8Array(32), env: {} } as const;
  machine.run([{ ...request(1, { timeMs: 1, inputs: [start] }), process: spinner, pid: "spinner" }]);
}
const snapshots: Uint8Array[] = [];
for (const turn of recording.turns) {
  const load = loadFor(turn.number, snapshots);
  if (load !== undefined) machine.drop(key);
  await run(turn, load);
  const body = await snapshot();
  snapshots.push(body);
  const memory = wholeMemory(body, turn.number);
  console.log(`${turn.number} ${memory.length} ${createHash("sha256").update(memory).digest("hex")}`);
}
process.exit();
