/**
 * The processes a turn concerns beside its own. All of them are in memory before the turn is staged, so that staging is
 * one step: nothing comes between what it looks at and what it changes. Of those on other nodes it is what the store said of them a moment
 * ago; where it matters whether that still holds, the commit finds out.
 */
import type { Pid } from "../journal/types.ts";
import { previousGeneration } from "../store/generations.ts";
import type { ExportedRow, ProcessKey, ProcessRow } from "../store/port.ts";
import type { Births } from "./births.ts";
import type { Act, TurnEffects } from "./effects.ts";
import type { Live, Relations } from "./live.ts";
import type { Names } from "./names.ts";
import { gone, isExported, isTombstone } from "./registry.ts";
import type { Registry } from "./registry.ts";
import { requestOf } from "./requests.ts";
import type { Request } from "./requests.ts";
import type { Shards } from "./shards.ts";

export interface PeersPorts {
  readonly registry: Pick<
    Registry,
    "beginLooking" | "endLooking" | "get" | "hasLeft" | "knownOrDamaged" | "named" | "reach"
  >;
  readonly names: Pick<Names, "pidOf" | "refresh">;
  /** Those who begin on other nodes, and are not durable. */
  readonly births: Pick<Births, "underway">;
  readonly shards: Pick<Shards, "isMine" | "newcomer">;
  /** Resolves when everything is durable that was staged before now. */
  committed(): Promise<void>;
}

/** Whom a text that names a receiver stands for: a registered name goes before a pid. */
export type Find = (to: string) => Live | undefined;

export class Peers {
  readonly #ports: PeersPorts;

  constructor(ports: PeersPorts) {
    this.#ports = ports;
  }

  /** Those of other nodes, while a turn that concerns them is staged. */
  #away: Away = nobodyAway;

  readonly find: Find = (to) => {
    const pid = this.#ports.names.pidOf(to) ?? to;
    const { registry, births } = this.#ports;
    const live = registry.named(pid) ?? births.underway(pid) ?? this.#away.byPid.get(pid);
    return live === undefined || gone(live) ? undefined : live;
  };

  readonly held = (key: ProcessKey): Live | undefined =>
    this.#ports.registry.get(key) ?? this.#ports.births.underway(key) ?? this.#away.byKey.get(key);

  /** The turn being staged has given birth to a process on another node. */
  born(child: Live): void {
    this.#away = withAway(this.#away, child);
  }

  /**
   * Calls `then` in the very moment in which everyone is in memory, with the pids of those who are not there because they have
   * exited. That is now, and the answer undefined, for most turns: they concern nobody, or somebody who is busy.
   */
  gather(live: Live, effects: TurnEffects, then: (ended: Ended) => void): Promise<void> | undefined {
    const wanted = wantedBy(live, effects);
    const absent = new Set<Pid | ProcessKey>();
    const missing = wanted.pids.length + wanted.keys.length === 0 ? [] : this.#missing(wanted, absent);
    if (missing.length > 0) return this.#load(wanted, absent, missing, then);
    this.#stage(nobodyAway, () => then(nobodyEnded));
    return undefined;
  }

  #stage(away: Away, then: () => void): void {
    this.#away = away;
    try {
      then();
    } finally {
      this.#away = nobodyAway;
    }
  }

  /** One may be forgotten while another is loaded: it goes on until none is missing. */
  async #load(
    wanted: Wanted,
    absent: Set<Pid | ProcessKey>,
    missing: readonly (Pid | ProcessKey)[],
    then: (ended: Ended) => void,
  ): Promise<void> {
    const { registry, births, shards, committed } = this.#ports;
    const ended = new Map<Pid, EndedProcess>();
    const away: Away = { byKey: new Map(), byPid: new Map() };
    const look = async (each: Pid | ProcessKey): Promise<void> => {
      // It was to begin on another node, and that is this one by now.
      if (births.underway(each) !== undefined) await committed();
      const known = typeof each === "string" ? await registry.knownOrDamaged(each) : undefined;
      const found = known === "damaged" || isTombstone(known) || isExported(known) ? undefined : known;
      if (found !== undefined && !("row" in found) && found.state === "exited")
        ended.set(found.pid, { key: found.key });
      if (typeof each === "string" && known !== undefined && found === undefined)
        ended.set(each, known !== "damaged" && isExported(known) ? { key: 0, exported: known } : { key: 0 });
      const key = typeof each === "string" ? keyOf(found) : each;
      const live = key === undefined ? undefined : await registry.reach(key);
      if (live?.away === false) await shards.newcomer(live.row);
      // It has ended while the store answered.
      if (live === undefined && found !== undefined && !("row" in found)) ended.set(found.pid, { key: found.key });
      if (live === undefined) absent.add(each);
      else if (live.away) withAway(away, live);
    };
    const again = new Set<Pid>();
    registry.beginLooking();
    try {
      await this.#ports.names.refresh();
      for (let next = missing; next.length > 0; next = this.#missing(wanted, absent, away)) {
        await Promise.all(next.map(look));
        // Born and gone while the store was asked for others: it has to be asked once more.
        for (const each of absent) {
          if (typeof each !== "string" || again.has(each) || ended.has(each) || !registry.hasLeft(each)) continue;
          again.add(each);
          absent.delete(each);
        }
      }
    } finally {
      registry.endLooking();
    }
    // Not after another wait, however short: by then one may have come to its end.
    this.#stage(away, () => then(ended));
  }

  #missing(
    { pids, keys }: Wanted,
    absent: ReadonlySet<Pid | ProcessKey>,
    away: Away = nobodyAway,
  ): (Pid | ProcessKey)[] {
    const { registry, names, shards, births } = this.#ports;
    // One that was another node's may have become this one's in the meantime.
    const isAway = (live: Live | undefined): boolean => live !== undefined && !shards.isMine(live.row);
    const isSettled = (live: Live | undefined): boolean =>
      live !== undefined && shards.newcomer(live.row) === undefined;
    const isPidHere = (pid: Pid): boolean =>
      isSettled(registry.named(pid)) || isAway(births.underway(pid)) || isAway(away.byPid.get(pid));
    const isKeyHere = (key: ProcessKey): boolean =>
      isSettled(registry.get(key)) || isAway(births.underway(key)) || isAway(away.byKey.get(key));
    return [
      ...pids.map((to) => names.pidOf(to) ?? to).filter((pid) => !isPidHere(pid) && !absent.has(pid)),
      ...keys.filter((key) => !isKeyHere(key) && !absent.has(key)),
    ];
  }
}

interface Away {
  readonly byKey: Map<ProcessKey, Live>;
  readonly byPid: Map<Pid, Live>;
}

const nobodyAway: Away = { byKey: new Map(), byPid: new Map() };

function withAway(away: Away, live: Live): Away {
  const { byKey, byPid }: Away = away === nobodyAway ? { byKey: new Map(), byPid: new Map() } : away;
  byKey.set(live.row.key, live);
  byPid.set(live.row.pid, live);
  return { byKey, byPid };
}

interface EndedProcess {
  /** 0 of one that was pruned or exported. */
  readonly key: ProcessKey;
  /** What stayed of one that was exported. */
  readonly exported?: ExportedRow;
}

/** Processes that were there once. */
export type Ended = ReadonlyMap<Pid, EndedProcess>;

const nobodyEnded: Ended = new Map();

function keyOf(found: Live | ProcessRow | undefined): ProcessKey | undefined {
  return found !== undefined && "row" in found ? found.row.key : found?.key;
}

interface Wanted {
  readonly pids: readonly string[];
  readonly keys: readonly ProcessKey[];
}

const none: Wanted = { pids: [], keys: [] };

function wantedBy({ row, relations }: Live, { acts, exit }: TurnEffects): Wanted {
  const keys = relations === undefined ? none.keys : tiedTo(relations, acts, exit !== undefined);
  if (acts.length === 0) return keys.length === 0 ? none : { pids: none.pids, keys };
  const spawned = new Set(acts.flatMap((act) => (act.kind === "spawn" ? [act.pid] : [])));
  const pids = new Set(acts.flatMap((act) => concerned(act)));
  return { pids: [...pids].filter((pid) => pid !== row.pid && !spawned.has(pid)), keys };
}

/** Those it lets go of. Whoever is on its way from the store must be here before a tie with it is cut. */
function tiedTo({ links, watchers, monitors }: Relations, acts: readonly Act[], exits: boolean): readonly ProcessKey[] {
  const isLetting = exits || acts.some((act) => (act.kind === "trap-exit" && !act.on) || isToChildren(act));
  const watched = acts.flatMap((act) => (act.kind === "demonitor" ? (monitors.get(act.monitor) ?? []) : []));
  return isLetting ? [...links, ...watchers.keys(), ...watched] : watched;
}

function isToChildren(act: Act): boolean {
  return act.kind === "cancel" && act.to === "";
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
    case "cancel":
      return isToChildren(act) ? [] : [act.to];
    case "operation": {
      const { pid, id, name } = requestOf(act) as Partial<Request>;
      // A name must not be anyone's pid, and a server follows on another.
      const more = act.name === "perdure:register" ? name : id === undefined ? undefined : previousGeneration(id);
      const pids = [pid ?? id, more];
      return pids.filter((each) => each !== undefined);
    }
    default:
      return [];
  }
}
