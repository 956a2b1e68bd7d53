/**
 * Registered names and process groups. All of them are held in memory: they are few beside the processes, and a message to a
 * name must find its way at once. Where several nodes own the store, each knows its own processes' names first, and those of
 * others as the store has them; who gets a name is decided there.
 */
import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import type { NameRow, ProcessKey, Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";

export interface NamesPorts {
  readonly store: Pick<Store, "names" | "groups" | "sharing">;
  readonly committer: Committer;
  isMine(process: { readonly shard?: number | undefined }): boolean;
}

interface Holder {
  readonly key: ProcessKey;
  readonly pid: Pid;
  readonly shard?: number | undefined;
}

type Known = Omit<NameRow, "shard"> & Pick<Holder, "shard">;

const maxNameLength = 200;

export class Names {
  readonly #ports: NamesPorts;
  readonly #holders = new Map<string, Holder>();
  readonly #groups = new Map<string, Map<ProcessKey, Holder>>();
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

  /** What others have done to names and groups is known from then on. */
  async refresh(): Promise<void> {
    const { store } = this.#ports;
    if (store.sharing === undefined || !(await store.sharing.namesChanged())) return;
    const [names, groups] = await Promise.all([store.names(), store.groups()]);
    for (const [name, { key, shard }] of this.#holders) if (!this.#ports.isMine({ shard })) this.#release(name, key);
    for (const [group, members] of this.#groups) {
      for (const [key, { shard }] of members) if (!this.#ports.isMine({ shard })) this.#part(group, key);
    }
    // Of this node's own processes the store may know less, or more, than there is.
    for (const row of names) if (!this.#ports.isMine(row) && !this.#holders.has(row.name)) this.#hold(row);
    for (const row of groups) if (!this.#ports.isMine(row)) this.#enter(row);
  }

  /** Where several nodes own the store: a name that is free becomes the process's at once. `register` then says whose it is. */
  async claim(name: string, holder: Holder): Promise<void> {
    const { sharing } = this.#ports.store;
    if (sharing === undefined || !isName(name)) return;
    await this.refresh();
    if (this.#holders.has(name)) return;
    const key = await sharing.claimName(name, holder.key);
    if (key === holder.key && !this.#holders.has(name)) this.#hold({ ...holder, name, process: key });
    else await this.refresh();
  }

  /** Whom `name` stands for. */
  pidOf(name: string): Pid | undefined {
    return this.#holders.get(name)?.pid;
  }

  namesOf(key: ProcessKey): readonly string[] {
    return [...(this.#namesOf.get(key) ?? [])];
  }

  members(group: string): readonly Pid[] {
    return [...(this.#groups.get(group)?.values() ?? [])].map(({ pid }) => pid);
  }

  /** Throws NAME_TAKEN, ARGUMENT_INVALID. A name that is the process's already stays so. */
  register(name: string, { key, pid, shard }: Holder): void {
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
    this.#hold({ name, process: key, pid, shard });
    this.#ports.committer.stage.names.set(name, key);
  }

  unregister(name: string): boolean {
    const holder = this.#holders.get(name);
    if (holder === undefined) return false;
    this.#release(name, holder.key);
    this.#ports.committer.stage.names.set(name, undefined);
    return true;
  }

  /** A process is in a group once, however often it joins. Throws ARGUMENT_INVALID. */
  join(group: string, { key, pid, shard }: Holder): void {
    checkName(group, "group");
    if (this.#groups.get(group)?.has(key) === true) return;
    this.#enter({ name: group, process: key, pid, shard });
    this.#ports.committer.stage.members.set(`${key}\n${group}`, { name: group, process: key, there: true });
  }

  leave(group: string, key: ProcessKey): void {
    if (!this.#part(group, key)) return;
    this.#ports.committer.stage.members.set(`${key}\n${group}`, { name: group, process: key, there: false });
  }

  /** The process exits. */
  forget(key: ProcessKey): void {
    for (const name of this.namesOf(key)) this.unregister(name);
    for (const group of this.#groupsOf.get(key) ?? []) this.#depart(group, key);
    this.#groupsOf.delete(key);
  }

  #hold({ name, process, pid, shard }: Known): void {
    this.#holders.set(name, { key: process, pid, shard });
    add(this.#namesOf, process, name);
  }

  #release(name: string, key: ProcessKey): void {
    this.#holders.delete(name);
    remove(this.#namesOf, key, name);
  }

  #part(group: string, key: ProcessKey): boolean {
    const isMember = this.#depart(group, key);
    if (isMember) remove(this.#groupsOf, key, group);
    return isMember;
  }

  #enter({ name, process, pid, shard }: Known): void {
    const members = this.#groups.get(name) ?? new Map<ProcessKey, Holder>();
    this.#groups.set(name, members.set(process, { key: process, pid, shard }));
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
function isName(name: unknown): boolean {
  const fits = typeof name === "string" && name !== "" && name.length <= maxNameLength && name.isWellFormed();
  return fits && !name.startsWith("@") && !name.startsWith("perdure:");
}

function checkName(name: string, what: "name" | "group"): void {
  if (isName(name)) return;
  const shown = typeof name === "string" ? JSON.stringify(name.slice(0, 60)) : `a ${typeof name}`;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `${shown} cannot be a ${what}: use text of 1 to ${maxNameLength} characters that begins with neither "@" nor "perdure:".`,
  );
}
