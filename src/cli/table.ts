/** Tables that fit a terminal: where the room ends, the widest column that may be cut is. */
import { cut, oneLine, pad, widthOf } from "./text.ts";

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly right?: boolean;
  /** May be cut down to this many columns. Left out: never. */
  readonly leastWidth?: number;
}

export interface Cell {
  readonly text: string;
  /** Colours the text after it was cut and padded. */
  readonly paint?: (text: string) => string;
}

export interface TableOptions {
  /** Undefined: as wide as it gets. */
  readonly width?: number | undefined;
  readonly paintTitle?: (text: string) => string;
}

const gap = "  ";

/** Lines of a table, headed by the columns' titles, without spaces at their ends. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  { width = Infinity, paintTitle }: TableOptions = {},
): string[] {
  const titles = columns.map(({ title }): Cell =>
    paintTitle === undefined ? { text: title } : { text: title, paint: paintTitle },
  );
  const lines = [titles, ...rows].map((cells) => cells.map((cell) => ({ ...cell, text: oneLine(cell.text) })));
  const widths = fit(
    columns,
    columns.map((_, index) => Math.max(...lines.map((cells) => widthOf(cells[index]?.text ?? "")))),
    width,
  );
  return lines.map((cells) => {
    const last = cells.findLastIndex(({ text }) => text !== "");
    return cells
      .slice(0, last + 1)
      .map(({ text, paint }, index) => {
        const room = widths[index] ?? 0;
        const shown = pad(
          cut(text, room),
          index === last && columns[index]?.right !== true ? 0 : room,
          columns[index]?.right,
        );
        return paint === undefined || text === "" ? shown : shown.replace(shown.trim(), paint);
      })
      .join(gap);
  });
}

/** Takes from the widest column that may give, until all fit or none may. */
function fit(columns: readonly Column[], natural: readonly number[], width: number): number[] {
  // No column of a table is wider than the table: this bounds the steps below.
  const widths = natural.map((each, index) => Math.min(each, Math.max(width, columns[index]?.leastWidth ?? each)));
  let excess = widths.reduce((sum, each) => sum + each, gap.length * (widths.length - 1)) - width;
  for (; excess > 0; excess--) {
    let widest = -1;
    for (const [index, { leastWidth = Infinity }] of columns.entries()) {
      const room = widths[index] ?? 0;
      if (room > leastWidth && room > (widths[widest] ?? 0)) widest = index;
    }
    if (widest === -1) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}
