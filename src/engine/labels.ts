/** Labels of nodes: what a machine is or has. Processes may need one. */
import { PerdureError } from "../base/errors.ts";

/** As a node lists them: sorted, each once. Throws ARGUMENT_INVALID. */
export function nodeLabels(labels: readonly string[] = []): readonly string[] {
  return [...new Set(labels.map(checkLabel))].toSorted();
}

/** Throws ARGUMENT_INVALID. */
export function checkLabel(label: string): string {
  if (/^[\w.:/=@+-]{1,100}$/.test(label)) return label;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `${JSON.stringify(label)} is no label for a node: it must be 1 to 100 letters, digits and characters of "_-.:/=@+", such as "gpu" or "zone=eu-1".`,
  );
}
