/** The statements that read and write parts, as far as SQLite and PostgreSQL understand the same. */
import type { Column, Part } from "./parts.ts";

export interface Dialect {
  /** Before the names of tables. */
  readonly schema: string;
  /** The `n`-th parameter, from 1. */
  parameter(n: number): string;
  /** Whether the tables have the columns that only shared stores have. */
  readonly shared: boolean;
}

/** The key of no process: what is under it only keeps a place in a table of this store. */
export const nobody = 0;

/** What is found in the tables under another name, or not at all. */
function expression({ name, shared }: Column, part: Part, dialect: Dialect): string {
  if (shared === true && !dialect.shared) return `NULL AS ${name}`;
  if (part.name === "process" && name === "program")
    return `coalesce((SELECT p.hash FROM ${dialect.schema}program AS p WHERE p.id = t.program), '') AS program`;
  return `t.${name}`;
}

/** Rows after a key; without one, from the first on. The last parameter is how many. `more`: other columns. */
export function selectPart(part: Part, dialect: Dialect, isFirst: boolean, more: readonly string[] = []): string {
  const columns = part.columns.map((column) => expression(column, part, dialect));
  // Numbers that each store gives by itself are no columns of the part.
  const places = part.key
    .filter((name) => !part.columns.some((column) => column.name === name))
    .map((name) => `t.${name}`);
  const key = part.key.map((name) => `t.${name}`).join(", ");
  const parameters = part.key.map((_, i) => dialect.parameter(i + 1)).join(", ");
  const where = whereOf(part, dialect, isFirst ? [] : [`(${key}) > (${parameters})`]);
  const limit = dialect.parameter(isFirst ? 1 : part.key.length + 1);
  return `SELECT ${[...columns, ...places, ...more].join(", ")} FROM ${dialect.schema}${part.name} AS t ${where} ORDER BY ${key} LIMIT ${limit}`;
}

export function countPart(part: Part, dialect: Dialect): string {
  return `SELECT count(*) AS rows FROM ${dialect.schema}${part.name} AS t ${whereOf(part, dialect, [])}`;
}

function whereOf({ name, passesRemains }: Part, { schema }: Dialect, more: readonly string[]): string {
  const conditions = [
    ...more,
    ...(passesRemains === true ? [`NOT EXISTS (SELECT 1 FROM ${schema}remains AS r WHERE r.process = t.process)`] : []),
    ...(name === "log" || name === "remains" ? [`t.process <> ${nobody}`] : []),
  ];
  return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
}

/** The columns that a store of this kind has. */
export function storedColumns(part: Part, { shared }: Pick<Dialect, "shared">): Column[] {
  return part.columns.filter((column) => shared || column.shared !== true);
}
