/** What a server's refusals and broken connections mean to the people who run a store: which code, what happened, what to do. */
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { ColumnDamaged } from "../columns.ts";
import { movedError } from "./parts/moved.ts";
import { readRefusal } from "./parts/raise.ts";
import type { Refusal } from "./parts/raise.ts";
import { ConnectionLost, ServerError } from "./wire/errors.ts";
import { LoginRefused } from "./wire/login.ts";

/** Which store, for messages. Without its password. */
export interface Place {
  readonly path: string;
  readonly incarnation?: number | undefined;
}

/** Turns whatever a store's code threw into a PerdureError. `doing` completes "Cannot … the store". */
export function storeError(place: Place, doing: string, error: unknown): PerdureError {
  if (isPerdureError(error)) return error;
  const refused =
    error instanceof ServerError ? (refusalError(place, error) ?? conflictError(place, error)) : undefined;
  if (refused !== undefined) return refused;
  const { path } = place;
  const { code, text } = diagnose(error);
  return new PerdureError(code, `Cannot ${doing} the store ${path}: ${text}`, { cause: error, details: { path } });
}

/** Whether the same may work in a while, when the database is back. */
export function isAway(error: unknown): boolean {
  if (error instanceof ConnectionLost) return true;
  // It starts, ends, or has too many clients. 08: a proxy in between has lost it.
  return error instanceof ServerError && /^(?:57P0[1-5]|53300|08...)$/.test(error.sqlState);
}

/** The server has undone the transaction for another's sake, and it may be done again: a deadlock, or a conflict of serialization. */
export function isUndone(error: unknown): boolean {
  return error instanceof ServerError && /^40(?:P01|001)$/.test(error.sqlState);
}

/** With each other node's write that stands in its way it happens once or twice. */
export const maxUndone = 20;

const kept = "Nothing of this write was kept";
const nothingKept = "Nothing of this commit was kept.";

function refusalError(place: Place, error: ServerError): PerdureError | undefined {
  const refusal = readRefusal(error);
  return refusal === undefined ? undefined : explain(place, refusal, error);
}

function explain(place: Place, refusal: Refusal, cause: Error): PerdureError {
  const { path } = place;
  const { kind, process, text } = refusal;
  const make = (code: ErrorCode, message: string, details: object): PerdureError =>
    new PerdureError(code, message, { cause, details: { path, ...details } });
  switch (kind) {
    case "fenced":
      return fenced(place);
    case "shard":
      return make(
        "STORE_FENCED",
        `Process ${text} in the store ${path} belongs to another node. ${nothingKept} Restart the engine.`,
        { process },
      );
    case "newer":
      return make(
        "STORE_NEWER",
        `Cannot claim the store ${path}: a newer release has it now (schema ${refusal.number}, this one knows ${refusal.last}). Nothing was changed. Install the newer release.`,
        {},
      );
    case "turn":
      return turnOutOfOrder(path, refusal, cause);
    case "nobody":
      return processNotFound(path, text);
    case "exited":
      return make(
        "PROCESS_EXITED",
        `Cannot change the state of process ${text} in the store ${path}: it has already exited. ${nothingKept}`,
        { process },
      );
    case "name":
      return make(
        "STORE_FENCED",
        `Cannot register process number ${process} as ${JSON.stringify(text)} in the store ${path}: the name is that of process number ${refusal.number}, so this node's picture of the store is wrong. ${nothingKept} Restart the engine.`,
        { name: text, process },
      );
    case "moved":
      return movedError(path, text) ?? fenced(place);
    case "letter":
      return make("DEAD_LETTER_NOT_FOUND", `There is no dead letter ${refusal.number} in the store ${path}.`, {});
    default:
      return newProcessError(path, refusal, cause);
  }
}

/** `text` is what is in the way, and the pid. */
function newProcessError(path: string, { kind, process, text }: Refusal, cause: Error): PerdureError {
  const at = text.indexOf("|");
  const [other, pid] = [text.slice(0, at), text.slice(at + 1)];
  const details = { path, pid, process };
  switch (kind) {
    case "program":
      return new PerdureError(
        "STORE_FAILED",
        `Process ${pid} runs program ${other}, which is not in the store ${path}. Put the program first.`,
        { cause, details: { ...details, program: other } },
      );
    case "digest":
      return new PerdureError(
        "ARGUMENT_INVALID",
        `The digest of process ${pid} is malformed. Give it in lower-case hexadecimal digits.`,
        { cause, details },
      );
    case "key":
      return new PerdureError(
        "STORE_FENCED",
        `Process number ${process}, meant for ${pid}, is taken by ${other} in the store ${path}: this node's picture of the store is out of date. ${nothingKept} Restart the engine.`,
        { cause, details },
      );
    default:
      return new PerdureError(
        "PROCESS_ID_CONFLICT",
        `A process ${pid} exists already in the store ${path}. ${nothingKept} Choose another id.`,
        { cause, details },
      );
  }
}

function turnOutOfOrder(path: string, { process, number, last, text }: Refusal, cause: Error): PerdureError {
  const taken = number <= last;
  const reason = taken ? "it is in the journal already" : `the last one there is ${last}`;
  return new PerdureError(
    taken ? "STORE_FENCED" : "STORE_FAILED",
    `Cannot commit turn ${number} of process ${text === "" ? `number ${process}` : text} to the store ${path}: ${reason}, so this node's picture of the process is wrong. ${nothingKept} Restart the engine.`,
    { cause, details: { path, process, turn: number, last } },
  );
}

/** What a guard found free, another writer took before this one was done. */
function conflictError({ path }: Place, error: ServerError): PerdureError | undefined {
  if (error.sqlState !== "23505") return undefined;
  const details = { path };
  switch (error.constraint) {
    case "process_pid":
      return new PerdureError(
        "PROCESS_ID_CONFLICT",
        `A process of this id exists already in the store ${path}: ${error.message}. ${nothingKept} Choose another id.`,
        { cause: error, details },
      );
    case "process_key":
    case "journal_turn":
    case "name_name":
      return new PerdureError(
        "STORE_FENCED",
        `Another node has written what this one was about to write to the store ${path}: ${error.message}. ${nothingKept} Restart the engine.`,
        { cause: error, details },
      );
    default:
      return undefined;
  }
}

export function fenced({ path, incarnation }: Place): PerdureError {
  const why =
    incarnation === undefined
      ? "it has not claimed the store, or has released it. Claim it first"
      : `its incarnation ${incarnation} is no longer the one in force. Restart the engine`;
  return new PerdureError("STORE_FENCED", `This node may not write to the store ${path}: ${why}. ${kept}.`, {
    details: { path, incarnation },
  });
}

export function processNotFound(path: string, pid: string): PerdureError {
  return new PerdureError("PROCESS_NOT_FOUND", `There is no process ${pid} in the store ${path}.`, {
    details: { path, pid },
  });
}

interface Diagnosis {
  readonly code: ErrorCode;
  /** What happened and what to do about it. */
  readonly text: string;
}

const safe = "This write was not kept, everything committed is safe.";

function diagnose(error: unknown): Diagnosis {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof LoginRefused) {
    return { code: "STORE_UNREADABLE", text: `${reason}. Check the URL: user, password, and sslmode.` };
  }
  if (isAway(error)) {
    return {
      code: "STORE_UNREACHABLE",
      text: `the database is away (${reason}). Everything committed is safe. See that the server runs and can be reached, then try again.`,
    };
  }
  if (error instanceof ServerError) return diagnoseState(error);
  if (error instanceof ColumnDamaged) return { code: "STORE_CORRUPT", text: corruptText(reason) };
  return { code: "STORE_FAILED", text: `${reason}. ${safe}` };
}

function diagnoseState({ sqlState, message }: ServerError): Diagnosis {
  switch (sqlState) {
    case "28P01":
    case "28000":
      return {
        code: "STORE_UNREADABLE",
        text: `the server refuses the login (${message}). Check user and password in the URL.`,
      };
    case "3D000":
      return { code: "STORE_NOT_FOUND", text: `${message}. Create the database, or correct the URL.` };
    case "42501":
      return {
        code: "STORE_UNREADABLE",
        text: `${message}. Give the user rights on the schema and all of its tables.`,
      };
    case "25006":
      return {
        code: "STORE_READ_ONLY",
        text: `it cannot be written (${message}). Everything committed is safe. Connect to the primary server.`,
      };
    case "53100":
    case "53200":
      return {
        code: "STORE_FULL",
        text: `the server has no room left (${message}). ${safe} Free some space, then start again.`,
      };
    case "57014":
    case "55P03":
    case "25P03":
    case "25P04":
      return {
        code: "STORE_FAILED",
        text: `it took too long (${message}), perhaps because another program holds a lock in an open transaction. ${safe} End that transaction and try again.`,
      };
    case "3F000":
    case "42P01":
    case "42703":
      return { code: "STORE_CORRUPT", text: corruptText(`its schema is not the one Perdure made: ${message}`) };
    case "XX001":
    case "XX002":
      return { code: "STORE_CORRUPT", text: corruptText(message) };
    default:
      return { code: "STORE_FAILED", text: `${message}. ${safe}` };
  }
}

function corruptText(reason: string): string {
  return `it is damaged (${reason}). Nothing was changed. Stop every engine that uses it, look into the server's log, and restore a backup.`;
}
