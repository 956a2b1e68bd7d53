/** Rows to test with, whole and valid; each can be given other fields. */
import type { Input, Turn } from "../../journal/types.ts";
import type {
  CheckpointRow,
  DeadLetterRow,
  EdgeRow,
  LogRow,
  MonitorRow,
  OperationRow,
  ProcessExit,
  ProcessKey,
  ProcessRow,
  ProgramRow,
  SnapshotRow,
  TimerRow,
} from "../port.ts";

export const startMs = 1_750_000_000_000;

export const program: ProgramRow = {
  hash: "1".repeat(64),
  file: "/srv/app.ts",
  createdAtMs: startMs,
  bundle: "2".repeat(64),
  sourceMap: "3".repeat(64),
  prelude: "4".repeat(64),
  engine: "5".repeat(64),
  operations: ["warehouse.ts#charge"],
};

export function process(key: ProcessKey, other: Partial<ProcessRow> = {}): ProcessRow {
  return {
    key,
    pid: `p${key}`,
    program: program.hash,
    entry: "order",
    argsDigest: "0a".repeat(32),
    state: "running",
    problem: "",
    startedAtMs: startMs + key,
    parent: "",
    label: "",
    role: "",
    restarts: 0,
    needs: "",
    held: false,
    trapsExits: false,
    life: 1,
    ...other,
  };
}

export const exit: ProcessExit = { atMs: startMs + 99, reason: "normal", value: { text: 'j"done"' } };

export const message: Input = { kind: "message", from: "p9", body: { text: 'j"hello"' } };

export function turn(number: number, other: Partial<Turn> = {}): Turn {
  return {
    number,
    timeMs: startMs + number * 10,
    inputs: [{ kind: "result", operation: number, ok: true, value: { text: `j${number}` } }],
    commands: [{ kind: "operation", target: "warehouse.ts#charge", digest: "00112233445566ff" }],
    ...other,
  };
}

/** Every kind of input, with what is hard to store: bytes, empty and ill-formed texts, NUL, astral characters. */
export const everyInput: readonly Input[] = [
  {
    kind: "start",
    entry: "order",
    args: { text: "j[]" },
    seed: new Uint8Array(32).fill(7),
    env: { TZ: "UTC", EMPTY: "" },
  },
  { kind: "message", from: "", body: { text: "v[[1],[]]", chunks: [new Uint8Array([0, 255, 1]), new Uint8Array(0)] } },
  { kind: "result", operation: 3, ok: false, value: { text: 'j"\u0000 é 漢 🙂"' } },
  { kind: "timer", timer: 2 ** 40 },
  { kind: "cancel", reason: "half a pair: \ud83d" },
  { kind: "fatal", reason: "out_of_fuel", detail: "" },
  { kind: "exit", from: "p2", reason: "exit", value: { text: 'j"why"' }, linked: true, held: "message" },
  { kind: "exit", from: "é", reason: "noproc", value: { text: "u" }, linked: false, held: "" },
  { kind: "down", monitor: 2 ** 40, from: "p2", reason: "shutdown", value: { text: "u" } },
  { kind: "restore", life: 2, seed: new Uint8Array(32).fill(9) },
  { kind: "pause" },
  { kind: "resume" },
  { kind: "export", file: "f1", request: "{}" },
];

export function operation(process: ProcessKey, number: number, other: Partial<OperationRow> = {}): OperationRow {
  return {
    process,
    number,
    name: "warehouse.ts#charge",
    args: { text: `j["order",${number}]` },
    options: "",
    state: "pending",
    attempt: 1,
    notBeforeMs: 0,
    startedAtMs: 0,
    deaths: 0,
    lastError: "",
    createdAtMs: startMs + number,
    ...other,
  };
}

export function timer(process: ProcessKey, number: number, other: Partial<TimerRow> = {}): TimerRow {
  return { process, number, clock: "wall", dueMs: startMs + number * 1000, ...other };
}

export function log(process: ProcessKey, turn: number, text: string): Omit<LogRow, "seq"> {
  return { process, turn, atMs: startMs, level: "info", text };
}

export function monitor(watcher: ProcessKey, number: number, target: ProcessKey): MonitorRow {
  return { watcher, number, target };
}

export function checkpoint(
  process: ProcessKey,
  turn: number,
  fill: number = turn,
): { process: ProcessKey } & CheckpointRow {
  return { process, turn, body: new Uint8Array(40).fill(fill) };
}

export function deadLetter(process: ProcessKey, text: string): Omit<DeadLetterRow, "seq"> {
  return {
    process,
    input: { kind: "message", from: "p9", body: { text: `j${JSON.stringify(text)}` } },
    atMs: startMs,
    reason: "error",
    value: { text: 'j"poison"' },
  };
}

/** Its digest follows from its key. */
export function edge(process: ProcessKey, key: string, other: Partial<EdgeRow> = {}): EdgeRow {
  const digest = Buffer.from(key).toString("hex").padEnd(32, "0").slice(0, 32);
  return { process, key, digest, about: "x", atMs: startMs, state: "open", answer: undefined, ...other };
}

export function snapshot(
  process: ProcessKey,
  turn: number,
  fill: number = turn,
): { process: ProcessKey } & SnapshotRow {
  return { process, turn, body: new Uint8Array(64).fill(fill) };
}
