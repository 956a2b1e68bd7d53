/**
 * SQL: whether there is such a row, looked for each time it is asked. The planner may make an EXISTS a hash of, or a join with, all of the
 * table; and where the table was small when the plan was made, it does so however large it has become. This it leaves as it is.
 */
export function has(rows: string): string {
  return `((SELECT 1 FROM ${rows} LIMIT 1) IS NOT NULL)`;
}
