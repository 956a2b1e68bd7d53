/**
 * Exports that are asked for beside the node: `perdure export` posts its steps to the process, as it posts a pause, and watches what
 * becomes of it. What is refused is said in the process's log.
 */
import { isPerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Input } from "../journal/types.ts";
import type { Committer } from "./batch.ts";
import { toError } from "./errors.ts";
import type { Live } from "./live.ts";
import type { HoldRequest, LeaveRequest, Moves } from "./moves.ts";

export type PostedStep =
  | ({ readonly step: "hold" } & Omit<HoldRequest, "file">)
  | ({ readonly step: "leave" } & Omit<LeaveRequest, "file">)
  | { readonly step: "back" };

export type ExportInput = Extract<Input, { kind: "export" }>;

export function postedStep(file: string, step: PostedStep): ExportInput {
  return { kind: "export", file, request: JSON.stringify(step) };
}

/** How the line in the log begins. */
export function refusalOf(file: string): string {
  return `Not exported as process file ${file}: `;
}

export interface PostedPorts {
  readonly moves: Moves;
  readonly committer: Committer;
  readonly clock: Clock;
  defer(fn: () => void): void;
  failed(error: Error): void;
}

/** Not at once: the process may just be on its way from the store. */
export function doPosted(live: Live, input: ExportInput, ports: PostedPorts): void {
  ports.defer(() => void step(live, input, ports));
}

async function step(live: Live, { file, request }: ExportInput, ports: PostedPorts): Promise<void> {
  const { moves, committer, clock, failed } = ports;
  const { pid, key } = live.row;
  try {
    const asked = readStep(request);
    if (asked?.step === "hold") await moves.hold(pid, { ...asked, file });
    else if (asked?.step === "back") await moves.back(pid, file);
    else if (asked?.step === "leave") {
      await moves.leave(pid, { ...asked, file });
      await moves.sweep();
    }
  } catch (error) {
    if (!isPerdureError(error)) return failed(toError(error));
    if (live.exiting || live.row.state === "exited") return;
    const text = `${refusalOf(file)}${error.message}`;
    const atMs = Math.trunc(clock.nowMs());
    committer.stage.logs.push({ process: key, turn: live.lastTurn, atMs, level: "error", text });
  }
}

/** Undefined for what this release does not post. */
function readStep(request: string): PostedStep | undefined {
  try {
    return JSON.parse(request) as PostedStep;
  } catch {
    return undefined;
  }
}
