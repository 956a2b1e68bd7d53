/** One line of a process file: what it says, checked. */
import { createHash } from "node:crypto";
import { edgeDigestLength, validateEdgeKey } from "../../base/edge-key.ts";
import { validatePid } from "../../base/ids.ts";
import type { Payload } from "../../base/value.ts";
import {
  decodeInput,
  decodePayload,
  decodeTurn,
  encodeInput,
  encodePayload,
  encodeTurn,
} from "../../journal/encoding.ts";
import { exitReasons, logLevels, timerClocks } from "../../journal/types.ts";
import type { Input } from "../../journal/types.ts";
import { decodeCheckpoint } from "../../kernel/checkpoint-body.ts";
import { edgeStates, operationStates } from "../../store/port.ts";
import { toInput, toPayload, toTurn } from "../lines/json.ts";
import type { Json } from "../lines/json.ts";
import {
  bytes,
  finite,
  flag,
  isNatural,
  isText,
  list,
  matching,
  natural,
  NotSuch,
  object,
  text,
  word,
} from "./check.ts";
import type { FileInput, FileProcess, FileRecord } from "./format.ts";

const sha256 = /^[0-9a-f]{64}$/;
export const fileId: RegExp = /^[0-9a-z]{20}$/;

/** Throws NotSuch, and errors of what decodes the parts. */
export function decodeLine(line: string): FileRecord {
  const json = object(JSON.parse(line), "it");
  const kind = text(json, "kind") as FileRecord["kind"];
  const decode = Object.hasOwn(decoders, kind) ? decoders[kind] : undefined;
  if (decode === undefined) throw new NotSuch(`there is no kind ${JSON.stringify(kind).slice(0, 40)}`);
  return decode(json);
}

/** Version first: of another one nothing else can be said. */
export function versionOf(line: string): unknown {
  return object(JSON.parse(line), "it")["version"];
}

const decoders: { readonly [K in FileRecord["kind"]]: (json: Json) => FileRecord } = {
  file: (json) => ({
    kind: "file",
    file: {
      id: matching(json, "id", fileId),
      pid: pid(json),
      store: text(json, "store"),
      writtenAtMs: natural(json, "writtenAtMs"),
    },
  }),
  program: (json) => ({
    kind: "program",
    program: {
      hash: matching(json, "hash", sha256),
      file: text(json, "file"),
      createdAtMs: natural(json, "createdAtMs"),
      bundle: matching(json, "bundle", sha256),
      sourceMap: matching(json, "sourceMap", sha256),
      prelude: matching(json, "prelude", sha256),
      engine: matching(json, "engine", sha256),
      operations: list(json, "operations", isText),
    },
  }),
  blob: (json) => {
    const [hash, found] = [matching(json, "hash", sha256), bytes(json, "bytes")];
    if (createHash("sha256").update(found).digest("hex") !== hash) throw new NotSuch("its bytes have another hash");
    return { kind: "blob", hash, bytes: found };
  },
  process: (json) => ({ kind: "process", process: process(json) }),
  restore: (json) => ({ kind: "restore", restore: { turn: natural(json, "turn", 2), from: natural(json, "from", 1) } }),
  // What the journal can give back is what it is.
  turn: (json) => ({ kind: "turn", turn: decodeTurn(encodeTurn(toTurn(json))) }),
  snapshot: (json) => ({ kind: "snapshot", snapshot: { turn: natural(json, "turn", 1), body: bytes(json, "body") } }),
  checkpoint: (json) => {
    const [turn, body] = [natural(json, "turn", 1), bytes(json, "body")];
    decodeCheckpoint(body);
    return { kind: "checkpoint", checkpoint: { turn, body } };
  },
  log: (json) => ({
    kind: "log",
    log: {
      turn: natural(json, "turn"),
      atMs: natural(json, "atMs"),
      level: word(json, "level", logLevels),
      text: text(json, "text"),
    },
  }),
  edge: (json) => ({
    kind: "edge",
    edge: {
      ...asked(json),
      atMs: natural(json, "atMs"),
      state: word(json, "state", edgeStates),
      answer: json["answer"] === undefined ? undefined : payload(json, "answer"),
    },
  }),
  letter: (json) => ({
    kind: "letter",
    letter: {
      seq: natural(json, "seq"),
      atMs: natural(json, "atMs"),
      reason: word(json, "reason", exitReasons),
      value: payload(json, "value"),
      input: input(json),
    },
  }),
  operation: (json) => ({ kind: "operation", operation: operation(json) }),
  timer: (json) => ({
    kind: "timer",
    timer: {
      number: natural(json, "number"),
      clock: word(json, "clock", timerClocks),
      dueMs: finite(json, "dueMs"),
    },
  }),
  input: (json) => ({ kind: "input", input: fileInput(json) }),
  end: (json) => ({ kind: "end", lines: natural(json, "lines"), sha256: matching(json, "sha256", sha256) }),
  seal: (json) => ({
    kind: "seal",
    seal: {
      file: matching(json, "file", fileId),
      atMs: natural(json, "atMs"),
      serviceMs: finite(json, "serviceMs"),
      letters: list(json, "letters", isNatural),
      body: matching(json, "body", sha256),
      late: matching(json, "late", sha256),
    },
  }),
};

function pid(json: Json): string {
  const found = text(json, "pid");
  validatePid(found);
  return found;
}

function process(json: Json): FileProcess {
  return {
    pid: pid(json),
    program: matching(json, "program", sha256),
    entry: text(json, "entry"),
    argsDigest: matching(json, "argsDigest", /^(?:[0-9a-f]{2})*$/),
    startedAtMs: natural(json, "startedAtMs"),
    parent: text(json, "parent"),
    label: text(json, "label"),
    role: text(json, "role"),
    restarts: natural(json, "restarts"),
    needs: text(json, "needs"),
    held: flag(json, "held"),
    trapsExits: flag(json, "trapsExits"),
    life: natural(json, "life", 1),
    paused: flag(json, "paused"),
    lastTurn: natural(json, "lastTurn"),
    files: list(json, "files", isText),
  };
}

function operation(json: Json): Extract<FileRecord, { kind: "operation" }>["operation"] {
  return {
    number: natural(json, "number", 1),
    name: text(json, "name"),
    args: payload(json, "args"),
    options: text(json, "options"),
    state: word(json, "state", operationStates),
    attempt: natural(json, "attempt", 1),
    notBeforeMs: finite(json, "notBeforeMs"),
    startedAtMs: natural(json, "startedAtMs"),
    deaths: natural(json, "deaths"),
    lastError: text(json, "lastError"),
    createdAtMs: natural(json, "createdAtMs"),
  };
}

function asked(json: Json): { readonly key: string; readonly digest: string; readonly about: string } {
  const key = text(json, "key");
  validateEdgeKey(key);
  const digest = matching(json, "digest", /^[0-9a-f]*$/);
  if (digest.length !== edgeDigestLength) throw new NotSuch("digest is too long or too short");
  return { key, digest, about: text(json, "about") };
}

function fileInput(json: Json): FileInput {
  const found = { atMs: natural(json, "atMs"), input: input(json) };
  if (json["asked"] === undefined) return found;
  const under = object(json["asked"], "asked");
  return { ...found, asked: { ...asked(under), state: word(under, "state", ["sent", "open"] as const) } };
}

function input(json: Json): Input {
  return decodeInput(encodeInput(toInput(object(json["input"], "input"))));
}

function payload(json: Json, name: string): Payload {
  return decodePayload(encodePayload(toPayload(object(json[name], name))));
}
