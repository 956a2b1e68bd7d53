import { PerdureError } from "../base/errors.ts";
import type { Program } from "./build.ts";

/**
 * Throws ENTRY_NOT_FOUND if a program has no such entry; the message lists those it has. `entry` is `"name"` for an export of
 * the entry module, or `"lib/x.ts#name"`.
 */
export function checkEntry(program: Program, entry: string): void {
  const { entries, modules } = program;
  const own = `${modules[0]}#`;
  const wanted = entry.startsWith(own) ? entry.slice(own.length) : entry;
  if (entries.includes(wanted)) return;
  const nearest = nearestName(wanted, entries);
  throw new PerdureError(
    "ENTRY_NOT_FOUND",
    [
      `${modules[0]} has no entry ${JSON.stringify(entry)}.`,
      nearest === undefined ? "" : ` Did you mean ${JSON.stringify(nearest)}?`,
      entries.length === 0
        ? ` It exports no function: write "export default async function …" in it.`
        : ` It has ${entries.map((name) => JSON.stringify(name)).join(", ")}.`,
    ].join(""),
    { details: { entry, entries } },
  );
}

/** The name with the fewest edits, if it is close enough to have been meant. */
function nearestName(wanted: string, names: readonly string[]): string | undefined {
  const ranked = names.map((name) => ({ name, distance: editDistance(wanted.toLowerCase(), name.toLowerCase()) }));
  ranked.sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(wanted.length / 3)) ? best.name : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
