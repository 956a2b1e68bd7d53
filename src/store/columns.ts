/** Reading columns with the check that they hold what was written: a damaged store must not pass for a strange value. */

/** What a database hands out. */
export type ColumnValue = null | number | bigint | string | Uint8Array;

export type Row = Readonly<Record<string, ColumnValue>>;

/** A column held what no release writes there: the store was damaged or edited. */
export class ColumnDamaged extends Error {}

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw damaged(column, value);
  return value;
}

export function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw damaged(column, value);
  return value;
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw damaged(column, value);
  return value;
}

/** What a text holds that was written as JSON. */
export function json(row: Row, column: string): unknown {
  try {
    return JSON.parse(text(row, column));
  } catch {
    throw damaged(column, row[column]);
  }
}

/** One of a closed set of words. */
export function word<T extends string>(row: Row, column: string, words: readonly T[]): T {
  const value = row[column];
  if (typeof value !== "string" || !words.includes(value as T)) throw damaged(column, value);
  return value as T;
}

function damaged(column: string, value: ColumnValue | undefined): ColumnDamaged {
  const shown = value instanceof Uint8Array ? `${value.length} bytes` : String(JSON.stringify(value)).slice(0, 40);
  return new ColumnDamaged(`column ${column} holds ${shown}`);
}
