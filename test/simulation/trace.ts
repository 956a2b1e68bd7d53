/** The last things that happened in a run, kept as they were and put into words only when somebody asks. */
import type { Input } from "../../src/journal/types.ts";
import type { LoadRequest } from "../../src/machine/port.ts";
import type { CommitBatch } from "../../src/store/port.ts";
import { describeInput } from "./inputs.ts";

interface Entry {
  readonly atMs: number;
  readonly step: number;
  readonly what: string;
  readonly facts: readonly unknown[];
}

export class Trace {
  readonly #limit: number;
  #entries: Entry[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(atMs: number, step: number, what: string, facts: readonly unknown[]): void {
    this.#entries.push({ atMs, step, what, facts });
    if (this.#entries.length >= 2 * this.#limit) this.#entries = this.#entries.slice(-this.#limit);
  }

  get lines(): string[] {
    return this.#entries.slice(-this.#limit).map(({ atMs, step, what, facts }) => {
      const words = facts.map((fact) => describe(fact)).filter((word) => word !== "");
      return `${String(atMs).padStart(7)} ms  #${String(step).padEnd(6)} ${what}  ${words.join("  ")}`;
    });
  }
}

function describe(fact: unknown): string {
  if (fact === undefined) return "";
  if (typeof fact !== "object" || fact === null) return typeof fact === "string" ? fact : JSON.stringify(fact);
  if (Array.isArray(fact)) return `[${fact.map((item) => describe(item)).join(", ")}]`;
  if ("atMs" in fact && "newProcesses" in fact) return describeBatch(fact as CommitBatch);
  if ("tail" in fact) return describeLoad(fact as LoadRequest);
  if ("token" in fact)
    return JSON.stringify(fact, (key, value: unknown) => (key === "value" ? (value as { text: string }).text : value));
  if ("commands" in fact) return (fact.commands as { kind: string }[]).map(({ kind }) => kind).join(",");
  if ("kind" in fact) return "input" in fact ? JSON.stringify(fact) : describeInput(fact as Input);
  return JSON.stringify(fact);
}

function describeLoad({ snapshot, tail }: LoadRequest): string {
  return `load(snapshot ${snapshot?.turn ?? "none"}, turns ${tail.map(({ number }) => number).join()})`;
}

function describeBatch(batch: CommitBatch): string {
  const part = <T>(name: string, rows: readonly T[] | undefined, show: (row: T) => string): string =>
    rows === undefined || rows.length === 0 ? "" : `${name}(${rows.map((row) => show(row)).join(" ")})`;
  const numbered = (row: { readonly process: number; readonly number: number }): string =>
    `${row.process}/${row.number}`;
  return [
    part("new", batch.newProcesses, (row) => row.pid),
    part(
      "turns",
      batch.turns,
      ({ process, turn }) =>
        `${process}#${turn.number}[${turn.inputs.map((input) => describeInput(input)).join(", ")}]${turn.commands.map(({ kind, target }) => ` ${kind} ${target}`).join()}`,
    ),
    part(
      "operations",
      batch.operations,
      (row) => `${numbered(row)}:${row.state}${row.startedAtMs > 0 ? ":started" : ""}:${row.deaths}`,
    ),
    part("operations gone", batch.operationsGone, numbered),
    part("timers", batch.timers, numbered),
    part("timers gone", batch.timersGone, numbered),
    part("inbox gone", batch.inboxGone, String),
    part("inbox", batch.inbox, (row) => `${row.process}:${describeInput(row.input)}`),
    part("states", batch.states, (row) => `${row.process}:${row.state}`),
    part("restores", batch.restores, (row) => `${row.process}#${row.turn}<${row.from}`),
    part("checkpoints", batch.checkpoints, (row) => `${row.process}#${row.turn}`),
    part("dead letters", batch.deadLetters, (row) => `${row.process}:${describeInput(row.input)}`),
    part("links", batch.links, (row) => `${row.a}-${row.b}`),
    part("links gone", batch.linksGone, (row) => `${row.a}-${row.b}`),
    part("monitors", batch.monitors, (row) => `${row.watcher}/${row.number}:${row.target}`),
    part("monitors gone", batch.monitorsGone, (row) => `${row.watcher}/${row.number}`),
    part("exits", batch.exits, ({ process, exit }) => `${process}:${exit.reason}`),
    part("snapshots", batch.snapshots, (row) => `${row.process}#${row.turn}`),
    part("away links", batch.away?.links, (row) => `${row.process}-${row.target}`),
    part("away monitors", batch.away?.monitors, (row) => `${row.watcher}/${row.number}:${row.target}`),
    part("cut", batch.away?.cut, (row) => `${row.process}-${row.from}`),
    part("moved", batch.away?.moved, (row) => `${row.process}:${row.shard}`),
    part("yielded", batch.away?.yielded, String),
  ]
    .filter((text) => text !== "")
    .join(" ");
}
