/** Who is tied to whom, and who is known by which name. */
import type { CommitBatch, Link, ProcessKey } from "../../port.ts";
import { statement, step } from "../wire/session.ts";
import type { Statement, Step } from "../wire/session.ts";
import { firstOf } from "./last.ts";
import type { Owner } from "./locks.ts";
import { raised } from "./raise.ts";

type Named = { readonly name: string; readonly process: ProcessKey };

const putLinks = statement(
  "INSERT INTO ~.link (a, b) SELECT * FROM unnest($1, $2) ON CONFLICT DO NOTHING",
  "int8[]",
  "int8[]",
);
const deleteLinks = statement(
  "DELETE FROM ~.link AS l USING unnest($1, $2) AS t (a, b) WHERE l.a = t.a AND l.b = t.b",
  "int8[]",
  "int8[]",
);
const putMonitors = statement(
  "INSERT INTO ~.monitor (watcher, number, target) SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING",
  ...(["int8[]", "int8[]", "int8[]"] as const),
);
const deleteMonitors = statement(
  "DELETE FROM ~.monitor AS m USING unnest($1, $2) AS t (watcher, number) WHERE m.watcher = t.watcher AND m.number = t.number",
  "int8[]",
  "int8[]",
);
const deleteNames = statement("DELETE FROM ~.name WHERE name = ANY ($1)", "text[]");
const checkNames = statement(
  `SELECT ${raised("name", "process", "holder", "0", "name")}
   FROM (SELECT t.process, t.name, o.process AS holder
         FROM unnest($1, $2) WITH ORDINALITY AS t (name, process, n) JOIN ~.name AS o ON o.name = t.name
         WHERE o.process <> t.process ORDER BY n LIMIT 1) AS bad`,
  "text[]",
  "int8[]",
);
const raiseName = statement(
  `SELECT CAST('perdure|name|' || $1 || '|' || $2 || '|0|' || $3 AS bigint)`,
  ...(["text", "text", "text"] as const),
);
// It is somebody else's, who has seen its end.
const isLost =
  "EXISTS (SELECT 1 FROM ~.process AS p WHERE p.key = t.process AND p.state = 'exited' AND NOT p.shard = ANY ($3))";
// Those it has already are left out. What others put meanwhile is a conflict, and no matter to be passed over.
const putNames = statement(
  `INSERT INTO ~.name (name, process) SELECT t.name, t.process FROM unnest($1, $2) AS t (name, process)
   WHERE NOT EXISTS (SELECT 1 FROM ~.name AS o WHERE o.name = t.name AND o.process = t.process) AND NOT ${isLost} ORDER BY t.name`,
  ...(["text[]", "int8[]", "int8[]"] as const),
);
const deleteMembers = statement(
  "DELETE FROM ~.member AS m USING unnest($1, $2) AS t (name, process) WHERE m.name = t.name AND m.process = t.process",
  "text[]",
  "int8[]",
);
const putMembers = statement(
  `INSERT INTO ~.member (name, process) SELECT t.name, t.process FROM unnest($1, $2) AS t (name, process)
   WHERE NOT ${isLost} ON CONFLICT DO NOTHING`,
  ...(["text[]", "int8[]", "int8[]"] as const),
);

const nameChange = step(statement("UPDATE ~.change SET names = names + 1"));
const nameEnds = statement(
  `UPDATE ~.change SET names = names + 1 WHERE EXISTS (SELECT 1 FROM ~.name WHERE process = ANY ($1))
     OR EXISTS (SELECT 1 FROM ~.member WHERE process = ANY ($1))`,
  "int8[]",
);

/** That names or groups change, for those who keep them in mind. To be done behind the changes, but before exits are. */
export function nameChanges({ names, namesGone, groups, groupsGone, exits }: CommitBatch): Step[] {
  if ([names, namesGone, groups, groupsGone].some((part) => part !== undefined && part.length > 0)) return [nameChange];
  return [
    ...some(exits, (rows) => [
      step(
        nameEnds,
        rows.map(({ process }) => process),
      ),
    ]),
  ];
}

export function relations(batch: CommitBatch, { shards }: Owner): Step[] {
  const { links, linksGone, monitors, monitorsGone, namesGone, names, groupsGone, groups } = batch;
  return [
    ...some(links, (rows) => [linked(putLinks, rows)]),
    ...some(linksGone, (rows) => [linked(deleteLinks, rows)]),
    ...some(monitors, (rows) => [
      step(
        putMonitors,
        rows.map((row) => row.watcher),
        rows.map((row) => row.number),
        rows.map((row) => row.target),
      ),
    ]),
    ...some(monitorsGone, (rows) => [
      step(
        deleteMonitors,
        rows.map((row) => row.watcher),
        rows.map((row) => row.number),
      ),
    ]),
    ...some(namesGone, (rows) => [step(deleteNames, rows)]),
    ...some(names, (rows) => giveNames(rows, shards)),
    ...some(groupsGone, (rows) => [named(deleteMembers, rows)]),
    ...some(groups, (rows) => [named(putMembers, rows, shards)]),
  ];
}

/** Nothing is asked of the database for nothing. */
export function some<T>(
  rows: readonly T[] | undefined,
  steps: (rows: readonly T[]) => readonly Step[],
): readonly Step[] {
  return rows === undefined || rows.length === 0 ? [] : steps(rows);
}

function linked(of: Statement, rows: readonly Link[]): Step {
  return step(
    of,
    rows.map(({ a, b }) => Math.min(a, b)),
    rows.map(({ a, b }) => Math.max(a, b)),
  );
}

function named(of: Statement, rows: readonly Named[], ...more: readonly (readonly number[])[]): Step {
  return step(
    of,
    rows.map((row) => row.name),
    rows.map((row) => row.process),
    ...more,
  );
}

function giveNames(rows: readonly Named[], shards: readonly number[]): Step[] {
  const given = new Map<string, ProcessKey>();
  for (const [i, { name, process }] of rows.entries()) {
    const holder = given.get(name);
    if (holder !== undefined && holder !== process) {
      return [named(checkNames, rows.slice(0, i)), step(raiseName, String(process), String(holder), name)];
    }
    given.set(name, process);
  }
  return [
    named(checkNames, rows),
    named(
      putNames,
      firstOf(rows, (row) => row.name),
      shards,
    ),
  ];
}
