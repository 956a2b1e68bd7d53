/** All that lives, by who started whom. */
import type { Pid } from "../journal/types.ts";
import type { ProcessFilter, ProcessRow, ProcessState, StoreReader } from "../store/port.ts";
import { readDirectory } from "./directory.ts";
import { processView } from "./views.ts";
import type { ProcessView } from "./views.ts";

export interface ProcessTree extends ProcessView {
  /** The processes it started that live, in the order they were started. */
  readonly children: readonly ProcessTree[];
}

export const livingStates: readonly ProcessState[] = ["running", "paused", "crashed", "broken", "moving"];

const pageRows = 1000;

/** All processes that pass a filter, newest first, a page at a time: nothing holds them all. */
export async function* eachProcess(
  reader: StoreReader,
  filter: Omit<ProcessFilter, "limit">,
): AsyncGenerator<ProcessRow> {
  for (let before = filter.before; ;) {
    const rows = await reader.listProcesses({
      ...filter,
      ...(before === undefined ? {} : { before }),
      limit: pageRows,
    });
    yield* rows;
    before = rows.at(-1)?.key;
    if (rows.length < pageRows) return;
  }
}

/** Those whose parent lives stand below it; all others, in the order they were started, on top. */
export async function processTree(reader: StoreReader): Promise<ProcessTree[]> {
  const directory = await readDirectory(reader);
  const nodes = new Map<Pid, ProcessView & { readonly children: ProcessTree[] }>();
  for await (const row of eachProcess(reader, { states: livingStates })) {
    nodes.set(row.pid, { ...processView(row, directory), children: [] });
  }
  const top: ProcessTree[] = [];
  // They came newest first.
  for (const node of [...nodes.values()].reverse()) (nodes.get(node.parent)?.children ?? top).push(node);
  return top;
}
