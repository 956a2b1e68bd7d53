/** Inputs that are for the kernel itself: what operators and other nodes ask of a process is done at once, and never reaches a turn. */
import { isPerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Committer } from "./batch.ts";
import { tellDurable } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";
import type { KernelEvents } from "./ports.ts";
import { stageConsumed } from "./staging.ts";
import { doPosted } from "./posted.ts";
import type { PostedPorts } from "./posted.ts";
import type { Shards } from "./shards.ts";
import type { Turns } from "./turns.ts";

export interface HeedsPorts {
  readonly clock: Clock;
  readonly committer: Committer;
  readonly shards: Shards;
  readonly turns: Turns;
  readonly events: KernelEvents;
  /** For the steps of an export. */
  readonly posted: PostedPorts;
  /** The kernel fails if it does. */
  run(work: Promise<unknown>): void;
}

export class Heeds {
  readonly #ports: HeedsPorts;

  constructor(ports: HeedsPorts) {
    this.#ports = ports;
  }

  /** False if it is for a turn. */
  heed(live: Live, queued: QueuedInput): boolean {
    const { input } = queued;
    switch (input.kind) {
      case "export":
        this.#consume(live, queued);
        doPosted(live, input, this.#ports.posted);
        return true;
      case "pause":
      case "resume":
        this.#control(live, queued, input.kind);
        return true;
      case "verdict":
        this.#ports.run(this.#ports.turns.decided(live, queued, input));
        return true;
      case "move":
        this.#move(live, queued, input.shard, input.sinceMs);
        return true;
      default:
        return false;
    }
  }

  #control(live: Live, queued: QueuedInput, kind: "pause" | "resume"): void {
    this.#consume(live, queued);
    this.#ports.turns.control(live, kind);
  }

  #consume(live: Live, queued: QueuedInput): void {
    const { stage } = this.#ports.committer;
    stageConsumed(stage, live, queued);
    stage.effects.push(() => tellDurable(queued));
  }

  /** It has come here from another node, or is asked to go to one. */
  #move(live: Live, queued: QueuedInput, shard: number, sinceMs: number): void {
    const { clock, events, shards, turns, run } = this.#ports;
    if (sinceMs > 0) {
      turns.came(live, queued);
      events.arrived?.(live.row.pid, Math.max(0, clock.nowMs() - sinceMs));
      run(shards.arrived(live.row.key));
    } else if (shards.isMine({ shard })) this.#consume(live, queued);
    // Until it stands still, the request is there to be seen; and if this node does not come to that, the next one does.
    else run(shards.move(live, shard, () => this.#consume(live, queued)).then(undefined, unlessRefused));
  }
}

/** It has come to its end before it could be moved, or was moved before: nobody waits for that here. */
function unlessRefused(error: unknown): void {
  if (!isPerdureError(error, "PROCESS_EXITED") && !isPerdureError(error, "PROCESS_ELSEWHERE")) throw error;
}
