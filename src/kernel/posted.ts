/**
 * Exports that are asked for beside the node: `perdure export` posts its steps to the process, as it posts a pause, and watches what
 * becomes of it. What is refused is said in the process's log.
 */
import { isPerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Input, Pid } from "../journal/types.ts";
import { arrivingPid } from "../store/exports.ts";
import type { Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import { toError } from "./errors.ts";
import type { Live } from "./live.ts";
import type { HoldRequest, LeaveRequest, Moves } from "./moves.ts";

export type PostedStep =
  | ({ readonly step: "hold" } & Omit<HoldRequest, "file">)
  | ({ readonly step: "leave" } & Omit<LeaveRequest, "file">)
  | { readonly step: "back" }
  /** To a process that was never imported to the end: it goes. */
  | { readonly step: "drop" };

export type ExportInput = Extract<Input, { kind: "export" }>;

export function postedStep(file: string, step: PostedStep): ExportInput {
  return { kind: "export", file, request: JSON.stringify(step) };
}

/** How the line in the log begins. */
export function refusalOf(file: string): string {
  return `Not exported as process file ${file}: `;
}

/** What the kernel itself posts to processes of other nodes. */
export function posting(
  store: Pick<Store, "post">,
  clock: Clock,
): Pick<PostedPorts, "again"> & { askToDrop(file: string): Promise<void> } {
  const post = async (pid: Pid, input: ExportInput): Promise<void> =>
    void (await store.post(pid, input, Math.trunc(clock.nowMs())));
  return { again: post, askToDrop: (file) => post(arrivingPid(file), postedStep(file, { step: "drop" })) };
}

export interface PostedPorts {
  readonly moves: Moves;
  readonly committer: Committer;
  readonly clock: Clock;
  /** Writes the step to the store once more: its process is another node's by now. */
  again(pid: Pid, input: ExportInput): Promise<void>;
  defer(fn: () => void): void;
  failed(error: Error): void;
}

/** Not at once: the process may just be on its way from the store. */
export function doPosted(live: Live, input: ExportInput, ports: PostedPorts): void {
  ports.defer(() => void step(live, input, ports));
}

async function step(live: Live, input: ExportInput, ports: PostedPorts): Promise<void> {
  const { moves, committer, clock, failed } = ports;
  const { file, request } = input;
  const { pid, key } = live.row;
  try {
    const asked = readStep(request);
    if (asked?.step === "hold") await moves.hold(pid, { ...asked, file });
    else if (asked?.step === "back") await moves.back(pid, file);
    else if (asked?.step === "drop") await moves.arrivals.drop(file);
    else if (asked?.step === "leave") {
      await moves.leave(pid, { ...asked, file });
      await moves.sweep();
    }
  } catch (error) {
    if (isPerdureError(error, "PROCESS_ELSEWHERE")) return await ports.again(pid, input).catch(unlessGone(failed));
    if (!isPerdureError(error)) return failed(toError(error));
    if (live.exiting || live.row.state === "exited") return;
    const text = `${refusalOf(file)}${error.message}`;
    const atMs = Math.trunc(clock.nowMs());
    committer.stage.logs.push({ process: key, turn: live.lastTurn, atMs, level: "error", text });
  }
}

/** Whoever waits for a process that has ended sees that by himself. */
function unlessGone(failed: PostedPorts["failed"]): (error: unknown) => void {
  return (error) => {
    if (!isPerdureError(error) || error.code.startsWith("STORE_")) failed(toError(error));
  };
}

/** Undefined for what this release does not post. */
function readStep(request: string): PostedStep | undefined {
  try {
    return JSON.parse(request) as PostedStep;
  } catch {
    return undefined;
  }
}
