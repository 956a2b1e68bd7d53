/** Starts of behaviours: whoever starts one waits until it says that it has started, or has ended. */
import type { SpawnOptions } from "../../journal/types.ts";
import { awaitItemOrCancel, deliverMessage } from "../mailbox.ts";
import type { Pid } from "../pid.ts";
import { self } from "../process.ts";
import { demonitor, spawnEntry, unlink } from "../relations.ts";
import { startFailed } from "./errors.ts";
import { Ack, ackMark } from "./requests.ts";

/**
 * What `init` of a server, or the function behind a supervisor, returns when there is nothing to do: the process ends at once,
 * in good order, and its start is no failure.
 */
export const ignore: unique symbol = Symbol("perdure.ignore");
export type Ignore = typeof ignore;

/** In the place of an acknowledgement that never comes. */
class Failed {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}

export interface BehaviourStart {
  readonly entry: string;
  readonly args: readonly unknown[];
  readonly link: boolean;
  readonly options: SpawnOptions;
}

/** The pid, or undefined if the behaviour answered `ignore`. Rejects with START_FAILED. */
export async function startBehaviour({ entry, args, link, options }: BehaviourStart): Promise<Pid | undefined> {
  const { pid, monitor } = spawnEntry({
    entry,
    args: [ackMark, self(), ...args],
    link,
    options,
    monitor: ({ reason }) => deliverMessage(new Ack(pid, new Failed(reason))),
  });
  const { outcome } = await awaitItemOrCancel((item): item is Ack => item instanceof Ack && item.from === pid);
  if (monitor !== undefined) demonitor(monitor);
  if (outcome === "started") return pid;
  // That it has not started is told by this function; an exit signal through the link would tell it twice, now or later.
  if (link) unlink(pid);
  if (outcome instanceof Failed) throw startFailed(entry, pid, outcome.reason);
  return undefined;
}
