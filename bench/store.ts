/**
 * What the SQLite store costs: time and bytes of a step at several sizes of the group commit, and of a sleeping process.
 *
 * A step is what a program does when it awaits one operation after another: a journal row with one result and one
 * operation command, the row of the new operation, and the end of the one before.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommitBatch, OperationRow, ProcessRow, Store } from "../src/store/port.ts";
import { openSqliteStore } from "../src/store/sqlite/index.ts";

const startMs = 1_750_000_000_000;
const result = { text: 'j{"receipt":"r-0123456789","ok":true}' };
const args = { text: 'j["order-0123456789",4200]' };
const digest = "0123456789abcdef";
const operationName = "warehouse.ts#charge";

function print(columns: readonly (string | number)[]): void {
  console.log(columns.map((column, i) => (i === 0 ? String(column).padEnd(34) : String(column).padStart(15))).join(""));
}

async function withStore(run: (open: () => Promise<Store>, path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "perdure-bench-"));
  try {
    await run(() => openSqliteStore(join(folder, "store.db")), join(folder, "store.db"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function putProgram(store: Store): Promise<void> {
  const row = {
    hash: "f".repeat(64),
    file: "app.ts",
    createdAtMs: startMs,
    bundle: "b",
    sourceMap: "s",
    prelude: "p",
    engine: "e",
    operations: [],
  };
  await store.putProgram(row, []);
}

function newProcess(key: number): ProcessRow {
  return {
    key,
    pid: `order-${String(key).padStart(10, "0")}`,
    program: "f".repeat(64),
    entry: "order",
    argsDigest: "ab".repeat(32),
    state: "running",
    problem: "",
    startedAtMs: startMs,
    parent: "",
    label: "",
    role: "",
    restarts: 0,
    needs: "",
    held: false,
    trapsExits: false,
    life: 1,
  };
}

function operation(process: number, number: number): OperationRow {
  return {
    process,
    number,
    args,
    name: operationName,
    options: "",
    state: "pending",
    attempt: 1,
    notBeforeMs: 0,
    startedAtMs: 0,
    deaths: 0,
    lastError: "",
    createdAtMs: startMs + number,
  };
}

/** The next step of each of `count` processes, beginning with the one after `first`. */
function steps(turns: Uint32Array, first: number, count: number, atMs: number): CommitBatch {
  const batch = { atMs, turns: [], operations: [], operationsGone: [] } as {
    atMs: number;
    turns: NonNullable<CommitBatch["turns"]>[number][];
    operations: OperationRow[];
    operationsGone: { process: number; number: number }[];
  };
  for (let i = 0; i < count; i++) {
    const process = ((first + i) % turns.length) + 1;
    const number = ++turns[process - 1]!;
    const inputs = [{ kind: "result", operation: number, ok: true, value: result }] as const;
    const commands = [{ kind: "operation", target: operationName, digest }] as const;
    batch.turns.push({ process, turn: { number, timeMs: atMs, inputs, commands } });
    batch.operations.push(operation(process, number + 1));
    batch.operationsGone.push({ process, number });
  }
  return batch;
}

async function benchSteps(batchSize: number, processCount: number, total: number): Promise<void> {
  await withStore(async (open, path) => {
    const store = await open();
    await store.claim(startMs);
    await putProgram(store);
    const keys = Array.from({ length: processCount }, (_, i) => i + 1);
    await store.commit({
      atMs: startMs,
      newProcesses: keys.map(newProcess),
      operations: keys.map((key) => operation(key, 1)),
    });
    await store.release(startMs);
    await store.close();
    const sizeBefore = statSync(path).size;

    const owner = await open();
    await owner.claim(startMs);
    const turns = new Uint32Array(processCount);
    let worstMs = 0;
    const cpuBefore = process.cpuUsage();
    const begin = performance.now();
    for (let done = 0; done < total; done += batchSize) {
      const batch = steps(turns, done, batchSize, startMs + done);
      const before = performance.now();
      await owner.commit(batch);
      worstMs = Math.max(worstMs, performance.now() - before);
    }
    const elapsedMs = performance.now() - begin;
    const cpu = process.cpuUsage(cpuBefore);
    await owner.close();
    const bytes = (statSync(path).size - sizeBefore) / total;
    print([
      `${batchSize} steps a commit, ${processCount} processes`,
      Math.round((total / elapsedMs) * 1000),
      ((elapsedMs / total) * 1000).toFixed(1),
      ((cpu.user + cpu.system) / total).toFixed(1),
      worstMs.toFixed(1),
      bytes.toFixed(0),
      (bytes - result.text.length).toFixed(0),
    ]);
  });
}

async function benchSleepers(count: number): Promise<void> {
  await withStore(async (open, path) => {
    const store = await open();
    await store.claim(startMs);
    await putProgram(store);
    const begin = performance.now();
    for (let first = 1; first <= count; first += 1000) {
      const keys = Array.from({ length: Math.min(1000, count - first + 1) }, (_, i) => first + i);
      await store.commit({
        atMs: startMs,
        newProcesses: keys.map(newProcess),
        turns: keys.map((key) => ({
          process: key,
          turn: {
            number: 1,
            timeMs: startMs,
            inputs: [
              {
                kind: "start",
                entry: "order",
                args,
                seed: crypto.getRandomValues(new Uint8Array(32)),
                env: { TZ: "UTC" },
              },
            ],
            commands: [{ kind: "timer", target: "1", digest }],
          },
        })),
        timers: keys.map((key) => ({ process: key, number: 1, clock: "wall", dueMs: startMs + 86_400_000 + key * 7 })),
      });
    }
    const startedMs = performance.now() - begin;
    await store.release(startMs);
    await store.close();
    const sizeBytes = statSync(path).size;

    const again = performance.now();
    const owner = await open();
    await owner.claim(startMs);
    const recovery = await owner.recover();
    const recoveredMs = performance.now() - again;
    const due = await owner.dueTimers("wall", 0, startMs + 86_400_000 + 7000, 1000);
    const counted = performance.now();
    await owner.countProcesses();
    const countMs = performance.now() - counted;
    const loadBegin = performance.now();
    for (const { process } of due) await owner.load(process);
    const loadMs = (performance.now() - loadBegin) / due.length;
    await owner.close();
    print([`${count} sleeping processes`, "bytes each", (sizeBytes / count).toFixed(0)]);
    print(["", "µs to start", ((startedMs / count) * 1000).toFixed(1)]);
    print(["", "open, claim, recover", `${recoveredMs.toFixed(1)} ms (${recovery.operations.length})`]);
    print(["", "count by state", `${countMs.toFixed(1)} ms`]);
    print(["", "load one", `${(loadMs * 1000).toFixed(0)} µs`]);
  });
}

print(["SQLite store", "steps/s", "µs/step", "CPU µs/step", "worst ms", "bytes/step", "without payload"]);
await benchSteps(1, 1, 500);
await benchSteps(10, 10, 5_000);
await benchSteps(100, 100, 50_000);
await benchSteps(1000, 1000, 200_000);
await benchSteps(1000, 100_000, 200_000);
await benchSleepers(100_000);
