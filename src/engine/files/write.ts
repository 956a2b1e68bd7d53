/**
 * Writing a process file: the process is held, its rows become lines, and when whoever asked for them has them safe, it leaves its store
 * and the file gets its seal. In pieces: however long the history, only a page of it is in memory.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { PerdureError } from "../../base/errors.ts";
import { commandDigest } from "../../journal/digest.ts";
import { noConnection } from "../../store/exports.ts";
import type { Pid } from "../../journal/types.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../kernel/checkpoint-body.ts";
import type { CheckpointEnd } from "../../kernel/checkpoint-body.ts";
import { wasPausedBefore } from "../../kernel/moves.ts";
import type { CheckpointRow, ExportedRow, ProcessKey, Store, StoreReader } from "../../store/port.ts";
import { turnLine } from "../lines/json.ts";
import * as lines from "./format.ts";

/** None of its writes is used. */
export type ExportedStore = StoreReader & Pick<Store, "load">;

/** Moves the process, through the kernel that owns the store. */
export interface Mover {
  /** Resolves when it stands still, durably. */
  hold(): Promise<void>;
  /** Takes it out of the store. */
  leave(body: { readonly sha256: string; readonly inboxSeq: number }): Promise<ExportedRow>;
  /** Lets it go on as before. */
  back(): Promise<void>;
}

export interface WriteOptions {
  /** The file's id. */
  readonly file: string;
  readonly nowMs: number;
  /** Whether the engine binary is part of the file. */
  readonly withEngine: boolean;
}

export type FilePart =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** All but the seal was handed out. Who asks for the next part has made it safe: the process leaves its store now. */
  | { readonly kind: "written" };

/** Lines of one gzip member. */
const memberBytes = 256 * 1024;
const pageTurns = 100;
const pageRows = 500;

/** If it is not asked to the end, the process goes on as before. */
export async function* exportProcess(
  store: ExportedStore,
  pid: Pid,
  mover: Mover,
  options: WriteOptions,
): AsyncGenerator<FilePart, void> {
  let exported: ExportedRow | undefined;
  await mover.hold();
  try {
    const body = { count: 0, sha256: "", inboxSeq: 0 };
    yield* members(bodyLines(store, pid, options, body));
    yield { kind: "written" };
    exported = await mover.leave(body);
  } finally {
    if (exported === undefined) await mover.back();
  }
  yield { kind: "bytes", bytes: sealBytes(exported) };
}

/** What completes a file whose body is written, when its process has left the store. */
export function sealBytes(exported: ExportedRow): Uint8Array {
  return gzipSync(lines.sealText(exported));
}

async function* members(text: AsyncGenerator<string>): AsyncGenerator<FilePart> {
  let waiting: string[] = [];
  let sizeBytes = 0;
  const member = (): FilePart => ({ kind: "bytes", bytes: gzipSync(waiting.join("")) });
  for await (const each of text) {
    waiting.push(each);
    sizeBytes += each.length;
    if (sizeBytes < memberBytes) continue;
    yield member();
    [waiting, sizeBytes] = [[], 0];
  }
  if (waiting.length > 0) yield member();
}

interface Body {
  count: number;
  sha256: string;
  /** Waiting inputs up to this one are in it. */
  inboxSeq: number;
}

async function* bodyLines(store: ExportedStore, pid: Pid, options: WriteOptions, body: Body): AsyncGenerator<string> {
  const hash = createHash("sha256");
  for await (const each of rowLines(store, pid, options, body)) {
    hash.update(each);
    body.count++;
    yield each;
  }
  body.sha256 = hash.digest("hex");
  yield lines.endLine(body.count, body.sha256);
}

async function* rowLines(
  store: ExportedStore,
  pid: Pid,
  { file, nowMs, withEngine }: WriteOptions,
  body: Body,
): AsyncGenerator<string> {
  const found = await store.findProcess(pid);
  if (found === undefined) throw new PerdureError("PROCESS_NOT_FOUND", `There is no process ${JSON.stringify(pid)}.`);
  const load = await store.load(found.key);
  const { key, state: _, problem, exit: __, ...about } = load.process;
  yield lines.fileLine({ id: file, pid, store: store.id, writtenAtMs: nowMs });
  yield* programLines(store, load.process.program, withEngine);
  const files = (await store.imports(pid)).map((row) => row.file);
  const paused = wasPausedBefore(problem);
  yield lines.processLine({ ...about, paused, lastTurn: load.lastTurn, files });
  for (const restore of load.restores) yield lines.restoreLine(restore);
  for (let next = 1; next <= load.lastTurn; next += pageTurns)
    for (const turn of await store.turns(key, next, Math.min(pageTurns, load.lastTurn - next + 1)))
      yield turnLine(turn);
  for (const snapshot of load.snapshots) yield lines.heapLine("snapshot", snapshot);
  if (load.checkpoint !== undefined) yield lines.heapLine("checkpoint", await untied(store, load.checkpoint));
  yield* otherLines(store, key);
  for (const operation of load.operations) yield lines.operationLine(operation);
  for (const timer of load.timers) yield lines.timerLine(timer);
  for (const { atMs, input } of load.inbox) yield lines.inputLine({ atMs, input });
  body.inboxSeq = load.inbox.at(-1)?.seq ?? 0;
}

async function* programLines(store: ExportedStore, hash: string, withEngine: boolean): AsyncGenerator<string> {
  const program = await store.program(hash);
  if (program === undefined) throw notWhole(`its program ${hash} is not in the store`);
  yield lines.programLine(program);
  const { bundle, sourceMap, prelude, engine } = program;
  for (const blob of new Set([bundle, sourceMap, prelude, ...(withEngine ? [engine] : [])])) {
    const bytes = await store.blob(blob);
    if (bytes === undefined) throw notWhole(`the blob ${blob} of its program is not in the store`);
    yield lines.blobLine(blob, bytes);
  }
}

async function* otherLines(store: ExportedStore, key: ProcessKey): AsyncGenerator<string> {
  for (let after = 0; ;) {
    const page = await store.logs(key, after, pageRows);
    for (const log of page) yield lines.fileLogLine(log);
    after = page.at(-1)?.seq ?? after;
    if (page.length < pageRows) break;
  }
  for (let after = ""; ;) {
    const page = await store.edges(key, after, pageRows);
    for (const edge of page) yield lines.edgeLine(edge);
    after = page.at(-1)?.key ?? after;
    if (page.length < pageRows) break;
  }
  for (let after = 0; ;) {
    const page = await store.deadLetters(key, after, pageRows);
    for (const letter of page) yield lines.letterLine(letter);
    after = page.at(-1)?.seq ?? after;
    if (page.length < pageRows) break;
  }
}

/** Whom it was tied to at its checkpoint is out of reach from then on. If it goes back there, it is told so. */
async function untied(store: ExportedStore, { turn, body }: CheckpointRow): Promise<CheckpointRow> {
  const before = decodeCheckpoint(body);
  const pidOf = async (key: ProcessKey): Promise<Pid | undefined> =>
    (await store.getProcess(key))?.pid ?? (await store.exported(key))?.pid;
  const ends: CheckpointEnd[] = [...before.ends];
  const { digest } = commandDigest({ kind: "exit", ...noConnection });
  for (const key of before.trapsExits ? before.links : []) {
    const pid = await pidOf(key);
    if (pid !== undefined) ends.push(["exit", pid, 0, digest]);
  }
  for (const [number, key] of before.monitors) {
    const pid = await pidOf(key);
    if (pid !== undefined) ends.push(["down", pid, number, ""]);
  }
  return { turn, body: encodeCheckpoint({ ...before, links: [], monitors: [], watchers: [], ends }) };
}

function notWhole(why: string): PerdureError {
  return new PerdureError("STORE_CORRUPT", `The process cannot be exported: ${why}. Restore a backup of the store.`);
}
