/** Which processes a command is about, and in which order: the filters and the sorting of `perdure ps`. */
import type { Command } from "commander";
import { eachProcess } from "../engine/tree.ts";
import { exitReasons } from "../journal/types.ts";
import type { ExitReason } from "../journal/types.ts";
import { processStates } from "../store/port.ts";
import type { ProcessFilter, ProcessRow, ProcessState, StoreReader } from "../store/port.ts";
import { collect } from "./context.ts";
import { usageError } from "./failure.ts";
import { stateOf } from "./states.ts";

export interface FilterOptions {
  readonly state?: readonly string[];
  readonly reason?: readonly string[];
  readonly entry?: string;
  readonly role?: string;
  readonly parent?: string;
  readonly label?: string;
}

export function withFilters(command: Command): Command {
  return command
    .option("--state <state>", `only these (repeatable): ${processStates.join(", ")}, or a reason`, collect)
    .option("--reason <reason>", `only what ended so (repeatable): ${exitReasons.join(", ")}`, collect)
    .option("--entry <entry>", "only processes of this exported function or class")
    .option("--role <role>", "only these: server, supervisor, task")
    .option("--parent <pid>", "only what this process started")
    .option("--label <label>", "only what is called so: a child's id, a server's key");
}

type Filter = Omit<ProcessFilter, "limit">;

export function filterOf({ state = [], reason = [], entry, role, parent, label }: FilterOptions): Filter {
  const unknown = reason.find((word) => !isReason(word));
  if (unknown !== undefined)
    throw usageError(`--reason is ${JSON.stringify(unknown)}; it must be one of ${exitReasons.join(", ")}.`);
  return {
    ...stateFilter(state, reason as ExitReason[]),
    ...(entry === undefined ? {} : { entry }),
    ...(role === undefined ? {} : { role }),
    ...(parent === undefined ? {} : { parent }),
    ...(label === undefined ? {} : { label }),
  };
}

function isState(word: string): word is ProcessState {
  return (processStates as readonly string[]).includes(word);
}

function isReason(word: string): word is ExitReason {
  return (exitReasons as readonly string[]).includes(word);
}

/** A state is one of a living process, or a reason of those that have exited. */
function stateFilter(words: readonly string[], wanted: readonly ExitReason[]): Filter {
  const states = words.filter(isState);
  const reasons = [...words.filter(isReason), ...wanted];
  const unknown = words.find((word) => !isState(word) && !isReason(word));
  if (unknown !== undefined)
    throw usageError(
      `--state is ${JSON.stringify(unknown)}; it must be one of ${[...processStates, ...exitReasons].join(", ")}.`,
    );
  if (reasons.length === 0) return states.length === 0 ? {} : { states };
  if (states.length > 0 && !states.includes("exited"))
    throw usageError(
      "Give either states or exit reasons, since no process has both. Ask for them one after the other.",
    );
  return { states: ["exited"], reasons };
}

type Order = (a: ProcessRow, b: ProcessRow) => number;

const byText =
  (text: (row: ProcessRow) => string): Order =>
  (a, b) =>
    text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : b.key - a.key;
const byNumber =
  (value: (row: ProcessRow) => number): Order =>
  (a, b) =>
    value(b) - value(a) || b.key - a.key;

export type SortKey = "started" | "ended" | "restarts" | "pid" | "label" | "entry" | "state";

const orders: Readonly<Record<SortKey, Order>> = {
  started: byNumber(({ key }) => key),
  ended: byNumber(({ state, exit }) => (state === "exited" && exit !== undefined ? exit.atMs : -Infinity)),
  restarts: byNumber(({ restarts }) => restarts),
  pid: byText(({ pid }) => pid),
  label: byText(({ label }) => label),
  entry: byText(({ entry }) => entry || "default"),
  state: byText((row) => (row.state === "exited" ? stateOf({ state: row.state, ...reasonOf(row) }) : row.state)),
};

function reasonOf({ exit }: ProcessRow): Pick<Parameters<typeof stateOf>[0], "exit"> {
  return exit === undefined ? {} : { exit };
}

export const sortKeys: readonly SortKey[] = Object.keys(orders) as SortKey[];

/** For the option. */
export function sortKey(text: string): SortKey {
  const found = sortKeys.find((key) => key === text);
  if (found !== undefined) return found;
  throw usageError(`--sort is ${JSON.stringify(text)}; it must be one of ${sortKeys.join(", ")}.`);
}

export interface Selection {
  readonly rows: readonly ProcessRow[];
  /** There are others that pass the filter. */
  readonly more: boolean;
}

export interface SelectOptions {
  readonly sort: SortKey;
  readonly reverse: boolean;
  readonly limit: number;
}

/** The first `limit` in order. Of a large store only so many are held at a time. */
export async function selectProcesses(
  reader: StoreReader,
  filter: Filter,
  { sort, reverse, limit }: SelectOptions,
): Promise<Selection> {
  // One more than asked for tells whether there are more.
  const wanted = Math.min(limit + 1, Number.MAX_SAFE_INTEGER);
  if (sort === "started" && !reverse) return cutTo(await reader.listProcesses({ ...filter, limit: wanted }), limit);
  const order: Order = reverse ? (a, b) => orders[sort](b, a) : orders[sort];
  let rows: ProcessRow[] = [];
  for await (const row of eachProcess(reader, filter)) {
    rows.push(row);
    if (rows.length >= 2 * wanted + 1000) rows = rows.sort(order).slice(0, wanted);
  }
  return cutTo(rows.sort(order), limit);
}

function cutTo(rows: readonly ProcessRow[], limit: number): Selection {
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}
