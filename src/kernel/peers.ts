/**
 * The processes a turn concerns beside its own. All of them are held in memory before the turn is staged, so that staging is
 * one step: nothing comes between what it looks at and what it changes.
 */
import type { Pid } from "../journal/types.ts";
import type { ProcessKey } from "../store/port.ts";
import type { Act, TurnEffects } from "./effects.ts";
import type { Live } from "./live.ts";
import type { Names } from "./names.ts";
import { gone } from "./registry.ts";
import type { Registry } from "./registry.ts";

export interface PeersPorts {
  readonly registry: Pick<Registry, "activateIfAlive" | "activateKey" | "get" | "named">;
  readonly names: Pick<Names, "pidOf">;
}

/** Whom a text that names a receiver stands for: a registered name goes before a pid. */
export type Find = (to: string) => Live | undefined;

export class Peers {
  readonly #ports: PeersPorts;

  constructor(ports: PeersPorts) {
    this.#ports = ports;
  }

  readonly find: Find = (to) => {
    const live = this.#ports.registry.named(this.#ports.names.pidOf(to) ?? to);
    return live === undefined || gone(live) ? undefined : live;
  };

  /** Undefined if everyone is in memory already: most turns concern nobody, or somebody who is busy. */
  gather(live: Live, effects: TurnEffects): Promise<void> | undefined {
    const wanted = wantedBy(live, effects);
    if (wanted.pids.length + wanted.keys.length === 0) return undefined;
    const absent = new Set<Pid | ProcessKey>();
    const missing = this.#missing(wanted, absent);
    return missing.length === 0 ? undefined : this.#load(wanted, absent, missing);
  }

  /** One may be forgotten while another is loaded: it goes on until none is missing. */
  async #load(wanted: Wanted, absent: Set<Pid | ProcessKey>, missing: readonly (Pid | ProcessKey)[]): Promise<void> {
    for (let next = missing; next.length > 0; next = this.#missing(wanted, absent)) {
      await Promise.all(
        next.map(async (each) => {
          const { registry } = this.#ports;
          const found = typeof each === "string" ? registry.activateIfAlive(each) : registry.activateKey(each);
          if ((await found) === undefined) absent.add(each);
        }),
      );
    }
  }

  #missing({ pids, keys }: Wanted, absent: ReadonlySet<Pid | ProcessKey>): (Pid | ProcessKey)[] {
    const { registry, names } = this.#ports;
    return [
      ...pids.map((to) => names.pidOf(to) ?? to).filter((pid) => registry.named(pid) === undefined && !absent.has(pid)),
      ...keys.filter((key) => registry.get(key) === undefined && !absent.has(key)),
    ];
  }
}

interface Wanted {
  readonly pids: readonly string[];
  readonly keys: readonly ProcessKey[];
}

const none: Wanted = { pids: [], keys: [] };

function wantedBy({ row, relations }: Live, { acts, exit }: TurnEffects): Wanted {
  const keys =
    exit === undefined || relations === undefined ? none.keys : [...relations.links, ...relations.watchers.keys()];
  if (acts.length === 0) return keys.length === 0 ? none : { pids: none.pids, keys };
  const spawned = new Set(acts.flatMap((act) => (act.kind === "spawn" ? [act.pid] : [])));
  const pids = new Set(acts.flatMap((act) => concerned(act)));
  return { pids: [...pids].filter((pid) => pid !== row.pid && !spawned.has(pid)), keys };
}

function concerned(act: Act): readonly string[] {
  switch (act.kind) {
    case "send":
      return act.to.startsWith("@") ? [] : [act.to];
    case "link":
    case "unlink":
    case "monitor":
    case "signal":
      return [act.to];
    case "operation": {
      const { pid, id } = JSON.parse(act.options) as { pid?: string; id?: string };
      const named = pid ?? id;
      return named === undefined ? [] : [named];
    }
    default:
      return [];
  }
}
