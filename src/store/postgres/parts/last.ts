/** One row of each key: a statement on sets may not meet the same row twice. */

/** The last one counts, as if they were written one after the other. */
export function lastOf<T>(rows: readonly T[], key: (row: T) => string | number): readonly T[] {
  if (rows.length < 2) return rows;
  const byKey = new Map<string | number, T>();
  for (const row of rows) byKey.set(key(row), row);
  return byKey.size === rows.length ? rows : [...byKey.values()];
}

/** The first one counts. */
export function firstOf<T>(rows: readonly T[], key: (row: T) => string | number): readonly T[] {
  if (rows.length < 2) return rows;
  const byKey = new Map<string | number, T>();
  for (const row of rows) if (!byKey.has(key(row))) byKey.set(key(row), row);
  return byKey.size === rows.length ? rows : [...byKey.values()];
}
