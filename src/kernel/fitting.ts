/** The rule by which a process's node is chosen: the node has the label that the process needs, and offers its program's host operations. */
import type { NodeRow, ProgramRow } from "../store/port.ts";

/** What a node is as far as that goes. */
export type Traits = Pick<NodeRow, "labels" | "file" | "operations">;

export type Wanted = Pick<ProgramRow, "file" | "operations">;

/**
 * Those of the nodes that may run a process. `program`: undefined where operations don't matter, as in a store that has one owner. What no
 * node offers keeps no process from running where its program's own file is deployed, perhaps in a later version, or no program at all: what
 * is asked for in vain there is `unavailable`, and a process that never asks goes on.
 */
export function fitting<N extends Traits>(
  nodes: readonly N[],
  needs: string,
  program: Wanted | undefined,
): readonly N[] {
  const labelled = needs === "" ? nodes : nodes.filter(({ labels }) => labels.includes(needs));
  if (program === undefined || program.operations.length === 0) return labelled;
  const offering = labelled.filter((node) => missing(node, program).length === 0);
  return offering.length > 0 ? offering : labelled.filter(({ file }) => file === "" || file === program.file);
}

/** What a process waits for that fits no node, to follow on "waits for". */
export function describeWanted(nodes: readonly Traits[], needs: string, program: Wanted | undefined): string {
  const label = needs === "" ? "" : ` with the label ${needs}`;
  const isLabel = program === undefined || (needs !== "" && fitting(nodes, needs, undefined).length === 0);
  const lacking = isLabel ? [] : leastMissing(nodes, program);
  const [first = "", ...others] = lacking;
  if (first === "") return `a node${label}`;
  const more = others.length === 0 ? "" : ` and ${others.length} more`;
  return `a node${label}${label === "" ? " " : ", and "}that offers ${first}${more}`;
}

function leastMissing(nodes: readonly Traits[], program: Wanted): readonly string[] {
  const all = nodes.map((node) => missing(node, program)).filter((names) => names.length > 0);
  return all.toSorted((a, b) => a.length - b.length)[0] ?? program.operations;
}

export function missing({ operations }: Traits, program: Wanted): readonly string[] {
  return program.operations.filter((name) => !operations.includes(name));
}
