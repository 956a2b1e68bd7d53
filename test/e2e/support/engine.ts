/** Engines in the test's own process, on the programs in `test/fixtures/engine`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { TestContext } from "node:test";
import { Engine } from "perdure/engine";
import type { EngineOptions, KernelNotice, LogEntry } from "perdure/engine";

// As the README does it.
// oxlint-disable-next-line typescript/consistent-type-imports
export type App = typeof import("../../fixtures/engine/app.ts");

const program = new URL("../../fixtures/engine/app.ts", import.meta.url);

/** What the host functions of the fixtures saw. They share this process. */
export interface Shared {
  readonly notes: Map<string, unknown>;
  readonly attempts: { readonly name: string; readonly attempt: number; readonly key: string }[];
  readonly aborted: string[];
}

export function shared(): Shared {
  const world = globalThis as { perdureTest?: Shared & { now: number } };
  return (world.perdureTest ??= { notes: new Map(), attempts: [], now: 0, aborted: [] });
}

export interface Opened {
  readonly engine: Engine<App>;
  readonly logs: LogEntry[];
  readonly notices: KernelNotice[];
  readonly exits: { readonly pid: string; readonly reason: string }[];
}

/** An engine of the test's own, closed when the test ends if the test has not closed it. In memory, unless told otherwise. */
export async function open(t: TestContext, options: EngineOptions = {}): Promise<Opened> {
  const opened = await openOne(options);
  t.after(() => opened.engine.close());
  return opened;
}

let one: Promise<Opened> | undefined;

/** An engine that many tests of a file share: opening one takes longer than most of them. */
export function common(): Promise<Opened> {
  one ??= openOne({});
  return one;
}

after(async () => (await one)?.engine.close());

async function openOne(options: EngineOptions): Promise<Opened> {
  const logs: LogEntry[] = [];
  const notices: KernelNotice[] = [];
  const exits: { pid: string; reason: string }[] = [];
  const engine = await Engine.open<App>({
    store: "memory:",
    program,
    closeTimeoutMs: 200,
    onLog: (log) => logs.push(log),
    onNotice: (notice) => notices.push(notice),
    onExit: (exit) => exits.push(exit),
    ...options,
  });
  return { engine, logs, notices, exits };
}

/** A path for a store, in a folder that goes when the test ends. */
export function storeFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "perdure-engine-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "store.db");
}
