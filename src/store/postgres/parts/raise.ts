/**
 * How a transaction fails by itself: a text is cast to a number. The server refuses that with the text in its error, and skips or
 * undoes all the rest. So a guard needs no answer to be waited for, and no procedural language.
 */
import type { ProcessKey } from "../../port.ts";
import type { ServerError } from "../wire/errors.ts";
import { statement, step } from "../wire/session.ts";
import type { Statement, Step } from "../wire/session.ts";
import type { Type } from "../wire/values.ts";
import { unescapeText } from "../wire/values.ts";

export type RefusalKind =
  /** The node's lease is void. */
  | "fenced"
  /** The process is in a shard of somebody else. */
  | "shard"
  /** The schema's version is `number`, and this release knows `last`. */
  | "newer"
  /** `number` is the turn that does not follow on `last`. */
  | "turn"
  /** There is no such process. */
  | "nobody"
  | "exited"
  /** Of a new process. */
  | "program"
  | "digest"
  | "key"
  | "pid"
  /** Of another process: `text` begins with it. */
  | "name"
  /** A dead letter is not there any more. */
  | "letter"
  /** The store is one end of a migration: `text` says which, how far it is, and where the other one is. */
  | "moved"
  /** Of a migration: somebody else has taken it over. */
  | "stale"
  /** A node's lease is in force. */
  | "owned"
  /** A process file that was being handed over was dropped meanwhile. */
  | "handover"
  /** Nobody waits for operation `number` of the process, or not on this node. */
  | "unwanted";

export interface Refusal {
  readonly kind: RefusalKind;
  readonly process: ProcessKey;
  readonly number: number;
  readonly last: number;
  /** What the process is known by, or what else there is to say. */
  readonly text: string;
}

const mark = "perdure|";

/** SQL of a value that cannot be made. The parts are SQL themselves. */
export function raised(kind: RefusalKind, process: string, number: string, last: string, text: string): string {
  const parts = [process, number, last, text].map((part) => `CAST(${part} AS text)`);
  return `CAST('${mark}${kind}|' || ${parts.join(" || '|' || ")} AS bigint)`;
}

/** SQL of the shards of an incarnation, found once for each statement. */
export function ownShards(incarnation: string): string {
  return `CAST(ARRAY(SELECT shard FROM ~.shard WHERE owner = ${incarnation}) AS bigint[])`;
}

/** Fails for the first of the rows that `bad` selects, which have the columns `process` and `n`. */
export function guard(kind: string, bad: string, ...types: readonly Type[]): Statement {
  const text = "coalesce((SELECT pid FROM ~.process WHERE key = process), 'number ' || CAST(process AS text))";
  return statement(
    `SELECT CAST('${mark}' || ${kind} || '|' || CAST(process AS text) || '|0|0|' || ${text} AS bigint)
     FROM (SELECT * FROM (${bad}) AS rows ORDER BY n LIMIT 1) AS bad`,
    ...types,
  );
}

const raiseOne = statement(
  `SELECT CAST($1 || coalesce((SELECT pid FROM ~.process WHERE key = $2), 'number ' || CAST($2 AS text)) AS bigint)`,
  "text",
  "int8",
);

/** What was found wrong without asking the database. */
export function raise(kind: RefusalKind, process: ProcessKey, number = 0, last = 0): Step {
  return step(raiseOne, `${mark}${kind}|${process}|${number}|${last}|`, process);
}

const invalidText = "22P02";

export function readRefusal(error: ServerError): Refusal | undefined {
  const at = error.primary.indexOf(mark);
  if (error.sqlState !== invalidText || at === -1) return undefined;
  const said = error.primary.slice(at + mark.length, error.primary.lastIndexOf('"'));
  const [kind = "", process, number, last, ...rest] = said.split("|");
  return {
    kind: kind as RefusalKind,
    process: Number(process),
    number: Number(number),
    last: Number(last),
    text: unescapeText(rest.join("|")),
  };
}

const nobody = guard(
  "'nobody'",
  `SELECT process, n FROM unnest($1) WITH ORDINALITY AS t (process, n)
   WHERE NOT EXISTS (SELECT 1 FROM ~.process WHERE key = t.process)`,
  "int8[]",
);

/** Fails unless all of them are there. */
export function there(processes: readonly ProcessKey[]): Step {
  return step(nobody, processes);
}

const dead = guard(
  "why",
  `SELECT t.process, n, CASE WHEN p.key IS NULL THEN 'nobody' ELSE 'exited' END AS why
   FROM unnest($1) WITH ORDINALITY AS t (process, n) LEFT JOIN ~.process AS p ON p.key = t.process
   WHERE p.key IS NULL OR p.state = 'exited'`,
  "int8[]",
);

/** Fails unless all of them are there and have not exited. */
export function alive(processes: readonly ProcessKey[]): Step {
  return step(dead, processes);
}
