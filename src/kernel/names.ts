/**
 * Registered names and process groups. All of them are held in memory: they are few beside the processes, and a message to a
 * name must find its way at once.
 */
import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import type { NameRow, ProcessKey, Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";

export interface NamesPorts {
  readonly store: Pick<Store, "names" | "groups">;
  readonly committer: Committer;
}

interface Holder {
  readonly key: ProcessKey;
  readonly pid: Pid;
}

const maxNameLength = 200;

export class Names {
  readonly #ports: NamesPorts;
  readonly #holders = new Map<string, Holder>();
  readonly #groups = new Map<string, Map<ProcessKey, Pid>>();
  /** What a process holds, so that its end is found without a search. */
  readonly #namesOf = new Map<ProcessKey, Set<string>>();
  readonly #groupsOf = new Map<ProcessKey, Set<string>>();

  constructor(ports: NamesPorts) {
    this.#ports = ports;
  }

  async load(): Promise<void> {
    const [names, groups] = await Promise.all([this.#ports.store.names(), this.#ports.store.groups()]);
    for (const row of names) this.#hold(row);
    for (const row of groups) this.#enter(row);
  }

  /** Whom `name` stands for. */
  pidOf(name: string): Pid | undefined {
    return this.#holders.get(name)?.pid;
  }

  namesOf(key: ProcessKey): readonly string[] {
    return [...(this.#namesOf.get(key) ?? [])];
  }

  members(group: string): readonly Pid[] {
    return [...(this.#groups.get(group)?.values() ?? [])];
  }

  /** Throws NAME_TAKEN, ARGUMENT_INVALID. A name that is the process's already stays so. */
  register(name: string, { key, pid }: Holder): void {
    checkName(name, "name");
    const holder = this.#holders.get(name);
    if (holder?.key === key) return;
    if (holder !== undefined) {
      throw new PerdureError(
        "NAME_TAKEN",
        `The name ${JSON.stringify(name)} belongs to process ${holder.pid}. A name has one holder: unregister it first, or choose another.`,
        { details: { name, pid: holder.pid } },
      );
    }
    this.#hold({ name, process: key, pid });
    this.#ports.committer.stage.names.set(name, key);
  }

  unregister(name: string): boolean {
    const holder = this.#holders.get(name);
    if (holder === undefined) return false;
    this.#holders.delete(name);
    remove(this.#namesOf, holder.key, name);
    this.#ports.committer.stage.names.set(name, undefined);
    return true;
  }

  /** A process is in a group once, however often it joins. Throws ARGUMENT_INVALID. */
  join(group: string, { key, pid }: Holder): void {
    checkName(group, "group");
    if (this.#groups.get(group)?.has(key) === true) return;
    this.#enter({ name: group, process: key, pid });
    this.#ports.committer.stage.members.set(`${key}\n${group}`, { name: group, process: key, there: true });
  }

  leave(group: string, key: ProcessKey): void {
    if (!this.#depart(group, key)) return;
    remove(this.#groupsOf, key, group);
    this.#ports.committer.stage.members.set(`${key}\n${group}`, { name: group, process: key, there: false });
  }

  /** The process exits. */
  forget(key: ProcessKey): void {
    for (const name of this.namesOf(key)) this.unregister(name);
    for (const group of this.#groupsOf.get(key) ?? []) this.#depart(group, key);
    this.#groupsOf.delete(key);
  }

  #hold({ name, process, pid }: NameRow): void {
    this.#holders.set(name, { key: process, pid });
    add(this.#namesOf, process, name);
  }

  #enter({ name, process, pid }: NameRow): void {
    const members = this.#groups.get(name) ?? new Map<ProcessKey, Pid>();
    this.#groups.set(name, members.set(process, pid));
    add(this.#groupsOf, process, name);
  }

  #depart(group: string, key: ProcessKey): boolean {
    const members = this.#groups.get(group);
    if (members === undefined || !members.delete(key)) return false;
    if (members.size === 0) this.#groups.delete(group);
    return true;
  }
}

function add(sets: Map<ProcessKey, Set<string>>, key: ProcessKey, text: string): void {
  const set = sets.get(key) ?? new Set();
  sets.set(key, set.add(text));
}

function remove(sets: Map<ProcessKey, Set<string>>, key: ProcessKey, text: string): void {
  const set = sets.get(key);
  set?.delete(text);
  if (set?.size === 0) sets.delete(key);
}

/** What begins with "@" is outside, and what begins with "perdure:" is ours. */
function checkName(name: string, what: "name" | "group"): void {
  const fits = typeof name === "string" && name !== "" && name.length <= maxNameLength && name.isWellFormed();
  if (fits && !name.startsWith("@") && !name.startsWith("perdure:")) return;
  const shown = typeof name === "string" ? JSON.stringify(name.slice(0, 60)) : `a ${typeof name}`;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `${shown} cannot be a ${what}: use text of 1 to ${maxNameLength} characters that begins with neither "@" nor "perdure:".`,
  );
}
