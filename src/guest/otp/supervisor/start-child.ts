import { awaitItem, takeItem } from "../../mailbox.ts";
import type { Pid } from "../../pid.ts";
import { self } from "../../process.ts";
import { spawnEntry } from "../../relations.ts";
import { Crashed, Exit } from "../../signals.ts";
import { Ack, ackMark } from "../requests.ts";
import type { CheckedChild } from "./check.ts";
import { release } from "./recovery.ts";

/** The pid, undefined for a start that answered `ignore`, or why there is none. */
export type ChildStart =
  | { readonly pid: Pid | undefined; readonly failed?: undefined }
  | { readonly failed: { readonly reason: unknown }; readonly pid?: undefined };

/** Starts a child, linked, and waits until it says that it has started or ends. Nothing else is handled meanwhile. */
export async function startChild(spec: CheckedChild, restarts: number, held: boolean): Promise<ChildStart> {
  const { id: label, entry, args, type, acknowledges, needs } = spec;
  const role = type === "supervisor" ? "supervisor" : acknowledges ? "server" : "process";
  const options = {
    label,
    role,
    ...(restarts === 0 ? {} : { restarts }),
    ...(needs === undefined ? {} : { needs }),
    ...(held ? { held } : {}),
  };
  let pid: Pid;
  try {
    const all = acknowledges ? [ackMark, self(), ...args] : args;
    ({ pid } = spawnEntry({ entry, args: all, link: true, options }));
  } catch (error) {
    // Arguments that cannot cross: they came with this child, so that is its failure.
    return { failed: { reason: error } };
  }
  return acknowledges ? await started(pid) : { pid };
}

type Sign = Ack | Exit | Crashed;

async function started(pid: Pid): Promise<ChildStart> {
  const isSign = (item: unknown): item is Sign =>
    (item instanceof Ack || item instanceof Exit || item instanceof Crashed) && item.from === pid;
  let sign = await awaitItem(isSign);
  while (sign instanceof Crashed) {
    // What has not started has no earlier heap to go on from. Its end follows.
    await release(pid);
    sign = await takeItem(isSign);
  }
  if (sign instanceof Exit) return { failed: { reason: sign.reason } };
  return { pid: sign.outcome === "started" ? pid : undefined };
}
