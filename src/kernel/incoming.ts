/** What becomes of inputs that somebody else has put into the store: the other end of `others.ts` and `mail.ts`. */
import type { Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import type { Edges } from "./edges.ts";
import { queueInput } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";
import { PostedMail } from "./mail.ts";
import { Others } from "./others.ts";
import type { Mail, OthersPorts } from "./others.ts";
import { gone } from "./registry.ts";
import type { Registry } from "./registry.ts";
import type { Shards } from "./shards.ts";
import type { Turns } from "./turns.ts";

/** Asked for only when something comes. */
export interface IncomingParts {
  readonly store: Store;
  readonly committer: Committer;
  readonly shards: Shards;
  registry(): Registry;
  edges(): Edges;
  turns(): Turns;
  enqueue(live: Live, queued: QueuedInput): void;
}

export function newMail({ store, committer, shards, registry, edges, turns, enqueue }: IncomingParts): Mail {
  const { sharing } = store;
  const ports: Omit<OthersPorts, "store"> = {
    settled: () => committer.current(),
    activate: async ({ process, input }) => {
      await edges().decided(process, input);
      await registry().activateKey(process);
    },
    deliver: ({ process, input, atMs, seq, tie }) => {
      const live = registry().get(process);
      if (live === undefined || gone(live)) return;
      const queued = queueInput(input, atMs, undefined, seq);
      if (sharing === undefined || turns().arrived(live, queued, tie)) enqueue(live, queued);
    },
  };
  if (sharing === undefined) return new Others({ ...ports, store });
  return new PostedMail({ ...ports, sharing, store, era: () => shards.era });
}
