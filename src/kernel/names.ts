/**
 * Registered names and process groups. All of them are held in memory: they are few beside the processes, and a message to a
 * name must find its way at once. Where several nodes own the store, it says who has which name, but for what this node has changed and
 * that does not know yet.
 */
import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import type { NameRow, ProcessKey, Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";

export interface NamesPorts {
  readonly store: Pick<Store, "names" | "groups" | "sharing">;
  readonly committer: Committer;
}

interface Holder {
  readonly key: ProcessKey;
  readonly pid: Pid;
}

type Known = Pick<NameRow, "name" | "process" | "pid">;

const maxNameLength = 200;

export class Names {
  readonly #ports: NamesPorts;
  readonly #holders = new Map<string, Holder>();
  readonly #groups = new Map<string, Map<ProcessKey, Holder>>();
  /** What a process holds, so that its end is found without a search. */
  readonly #namesOf = new Map<ProcessKey, Set<string>>();
  readonly #groupsOf = new Map<ProcessKey, Set<string>>();
  /** Names and members that are being changed here: what the store says of them may be old. */
  readonly #changing = new Map<string, number>();
  /** Those whose change came through while the store was read. */
  #changed: string[] = [];
  #isReading = false;
  /** The store has told of changes that were not read. */
  #isBehind = false;
  #reading: Promise<void> = Promise.resolve();
  #nextReading: Promise<void> | undefined;

  constructor(ports: NamesPorts) {
    this.#ports = ports;
  }

  async load(): Promise<void> {
    const [names, groups] = await Promise.all([this.#ports.store.names(), this.#ports.store.groups()]);
    for (const row of names) this.#hold(row);
    for (const row of groups) this.#enter(row);
  }

  /** What others have done to names and groups is known from then on. */
  refresh(): Promise<void> {
    if (this.#ports.store.sharing === undefined) return Promise.resolve();
    // Whoever asks while the store answers may know of more.
    this.#nextReading ??= this.#reading.then(() => {
      this.#nextReading = undefined;
      const read = this.#read();
      // If it fails, only those who wait for it are told.
      this.#reading = read.catch(() => undefined);
      return read;
    });
    return this.#nextReading;
  }

  async #read(): Promise<void> {
    const { store } = this.#ports;
    this.#isReading = true;
    try {
      if ((await store.sharing?.namesChanged()) === true) this.#isBehind = true;
      if (!this.#isBehind) return;
      const [names, groups] = await Promise.all([store.names(), store.groups()]);
      this.#takeNames(names);
      this.#takeGroups(groups);
      this.#isBehind = false;
    } finally {
      this.#isReading = false;
      for (const change of this.#changed.splice(0)) this.#settle(change);
    }
  }

  #takeNames(rows: readonly NameRow[]): void {
    const holders = new Map(rows.map((row) => [row.name, row.process]));
    for (const [name, { key }] of this.#holders)
      if (holders.get(name) !== key && !this.#changing.has(nameIn(name))) this.#release(name, key);
    for (const row of rows) if (!this.#holders.has(row.name) && !this.#changing.has(nameIn(row.name))) this.#hold(row);
  }

  #takeGroups(rows: readonly NameRow[]): void {
    const found = new Set(rows.map(({ name, process }) => memberOf(name, process)));
    const isOld = (member: string): boolean => !found.has(member) && !this.#changing.has(member);
    for (const [group, members] of this.#groups)
      for (const key of members.keys()) if (isOld(memberOf(group, key))) this.#part(group, key);
    for (const row of rows) if (!this.#changing.has(memberOf(row.name, row.process))) this.#enter(row);
  }

  /** Until what is staged is durable, and for as long as the store is being read then. */
  #change(what: string): void {
    if (this.#ports.store.sharing === undefined) return;
    this.#begin(what);
    this.#ports.committer.stage.effects.push(() => this.#end(what));
  }

  #begin(what: string): void {
    this.#changing.set(what, (this.#changing.get(what) ?? 0) + 1);
  }

  #end(what: string): void {
    if (this.#isReading) this.#changed.push(what);
    else this.#settle(what);
  }

  #settle(what: string): void {
    const count = (this.#changing.get(what) ?? 0) - 1;
    if (count > 0) this.#changing.set(what, count);
    else this.#changing.delete(what);
  }

  /** Where several nodes own the store: a name that is free becomes the process's at once. `register` then says whose it is. */
  async claim(name: string, holder: Holder): Promise<void> {
    const { sharing } = this.#ports.store;
    if (sharing === undefined || !isName(name)) return;
    await this.refresh();
    if (this.#holders.has(name)) return;
    this.#begin(nameIn(name));
    const key = await sharing.claimName(name, holder.key);
    const isHolder = key === holder.key && !this.#holders.has(name);
    if (isHolder) this.#hold({ name, process: key, pid: holder.pid });
    this.#end(nameIn(name));
    if (!isHolder) await this.refresh();
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
    this.#change(nameIn(name));
  }

  unregister(name: string): boolean {
    const holder = this.#holders.get(name);
    if (holder === undefined) return false;
    this.#release(name, holder.key);
    this.#ports.committer.stage.names.set(name, undefined);
    this.#change(nameIn(name));
    return true;
  }

  /** A process is in a group once, however often it joins. Throws ARGUMENT_INVALID. */
  join(group: string, { key, pid }: Holder): void {
    checkName(group, "group");
    if (this.#groups.get(group)?.has(key) === true) return;
    this.#enter({ name: group, process: key, pid });
    this.#ports.committer.stage.members.set(memberOf(group, key), { name: group, process: key, there: true });
    this.#change(memberOf(group, key));
  }

  leave(group: string, key: ProcessKey): void {
    if (!this.#part(group, key)) return;
    this.#ports.committer.stage.members.set(memberOf(group, key), { name: group, process: key, there: false });
    this.#change(memberOf(group, key));
  }

  /** The process exits. */
  forget(key: ProcessKey): void {
    for (const name of this.namesOf(key)) this.unregister(name);
    for (const group of this.#groupsOf.get(key) ?? []) {
      this.#depart(group, key);
      this.#change(memberOf(group, key));
    }
    this.#groupsOf.delete(key);
  }

  #hold({ name, process, pid }: Known): void {
    this.#holders.set(name, { key: process, pid });
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

  #enter({ name, process, pid }: Known): void {
    const members = this.#groups.get(name) ?? new Map<ProcessKey, Holder>();
    this.#groups.set(name, members.set(process, { key: process, pid }));
    add(this.#groupsOf, process, name);
  }

  #depart(group: string, key: ProcessKey): boolean {
    const members = this.#groups.get(group);
    if (members === undefined || !members.delete(key)) return false;
    if (members.size === 0) this.#groups.delete(group);
    return true;
  }
}

/** Among what is changed, a name. No member begins like that. */
function nameIn(name: string): string {
  return `\n${name}`;
}

function memberOf(group: string, key: ProcessKey): string {
  return `${key}\n${group}`;
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
