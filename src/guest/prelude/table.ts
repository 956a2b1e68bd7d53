/** `console.table`. */
import { inspect } from "./inspect.ts";

const indexHeading = "(index)";
const valuesHeading = "Values";

/** The table's text; undefined if `data` is no object, and has nothing that could be in one. */
export function formatTable(data: unknown, columns?: readonly string[]): string | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const rows: { index: string; cells: Map<string, string> }[] = [];
  const headings = new Set<string>(columns);
  let hasValues = false;
  for (const [index, row] of rowsOf(data)) {
    const cells = new Map<string, string>();
    if (typeof row === "object" && row !== null) {
      for (const key of columns ?? Object.keys(row)) {
        headings.add(key);
        if (Object.hasOwn(row, key)) cells.set(key, inspect((row as Record<string, unknown>)[key], 0));
      }
    } else {
      hasValues = true;
      cells.set(valuesHeading, inspect(row, 0));
    }
    rows.push({ index, cells });
  }
  headings.delete(valuesHeading);
  const titles = hasValues ? [...headings, valuesHeading] : [...headings];
  return draw(
    [indexHeading, ...titles],
    rows.map(({ index, cells }) => [index, ...titles.map((title) => cells.get(title) ?? "")]),
  );
}

function rowsOf(data: object): [string, unknown][] {
  if (data instanceof Map || data instanceof Set) {
    return Array.from(data as Iterable<unknown>, (row, index) => [String(index), row]);
  }
  return Object.entries(data);
}

function draw(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const rule = (left: string, cross: string, right: string): string =>
    left + widths.map((width) => "─".repeat(width + 2)).join(cross) + right;
  const line = (cells: readonly string[]): string =>
    `│${cells.map((cell, column) => ` ${cell.padEnd(widths[column]!)} `).join("│")}│`;
  return [rule("┌", "┬", "┐"), line(titles), rule("├", "┼", "┤"), ...rows.map(line), rule("└", "┴", "┘")].join("\n");
}
