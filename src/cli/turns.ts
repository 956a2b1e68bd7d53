/** Turns as people and tools read them: inputs with their values decoded, commands by what they are for. */
import type { TurnView } from "../engine/views.ts";
import { readEdgeAddress } from "../base/edge-key.ts";
import { placeOfMessage } from "../journal/types.ts";
import type { CommandDigest, DroppedOperation, Input, Pid } from "../journal/types.ts";
import { decodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import { headOf } from "./guest-error.ts";
import { toJson } from "./json-value.ts";
import type { Json } from "./json-value.ts";
import { formatBriefly } from "./outcome.ts";
import { formatDuration } from "./time.ts";

/** What came in, in words, and the value that came with it. */
export interface InputText {
  readonly what: string;
  readonly value: string;
}

/** Of a message, what follows on that word. */
function senderText(from: Pid): string {
  const asked = readEdgeAddress(from);
  if (asked !== undefined) return ` under the key ${JSON.stringify(asked.key)}`;
  return from === "" ? "" : ` from ${from}`;
}

export function describeInput(input: Input, operationNames: ReadonlyMap<number, string>): InputText {
  switch (input.kind) {
    case "start":
      return { what: `start ${input.entry || "default"}`, value: argumentsText(input.args) };
    case "message":
      return { what: `message${senderText(input.from)}`, value: payloadText(input.body) };
    case "result": {
      const name = operationNames.get(input.operation);
      return {
        what: `${input.ok ? "result" : "failure"} of ${name ?? "operation"} #${input.operation}`,
        value: payloadText(input.value),
      };
    }
    case "timer":
      return { what: `timer #${input.timer}`, value: "" };
    case "cancel":
      return { what: "cancel", value: input.reason };
    case "fatal":
      return { what: input.reason, value: input.detail };
    case "exit": {
      const what = input.held === "" || input.held === "exit" ? "exit" : "failure";
      return { what: `${what} of ${input.from}: ${input.reason}`, value: payloadText(input.value) };
    }
    case "down":
      return { what: `down #${input.monitor}: ${input.from}: ${input.reason}`, value: payloadText(input.value) };
    case "restore":
      return { what: `restored to its checkpoint, life ${input.life}`, value: "" };
    case "verdict":
      return { what: `its parent's verdict: ${input.verdict}`, value: "" };
    case "move":
      return { what: "to another node", value: "" };
    case "discard":
      return { what: "message set aside", value: `of turn ${placeOfMessage(input.message).turn}` };
    case "pause":
    case "resume":
      return { what: input.kind, value: "" };
    case "export":
      return { what: `export as process file ${input.file}`, value: "" };
  }
}

export function describeCommand({ kind, target }: CommandDigest, operationNumber: number | undefined): string {
  switch (kind) {
    case "operation":
      return operationNumber === undefined ? target : `${target} #${operationNumber}`;
    case "abort":
      return `abort #${target}`;
    case "timer":
      return `timer #${target}`;
    case "clear-timer":
      return `clear timer #${target}`;
    case "send":
      return `send to ${target}`;
    case "log":
      return `console.${target}`;
    case "signal":
      return `exit signal to ${target}`;
    case "cancel":
      return `cancel ${target === "" ? "linked children" : target}`;
    case "demonitor":
      return `demonitor #${target}`;
    case "trap-exit":
      return `trap exits ${target}`;
    case "exit":
    case "spawn":
    case "link":
    case "unlink":
    case "monitor":
      return `${kind} ${target}`;
    case "checkpoint":
      return kind;
  }
}

const dropStates: Readonly<Record<DroppedOperation["state"], (attempt: number) => string>> = {
  queued: () => "aborted before it began",
  running: (attempt) => `aborted while running, attempt ${attempt}; it may have happened`,
  waiting: (attempt) => `aborted while waiting for attempt ${attempt}`,
  ended: () => "it had ended; its result was not taken",
};

export function describeDropped({ number, name, state, attempt }: DroppedOperation): string {
  return `operation #${number} ${name}: ${dropStates[state](attempt)}`;
}

function argumentsText(args: Payload): string {
  const values = decodeValue(args);
  return Array.isArray(values) ? `(${values.map(formatBriefly).join(", ")})` : formatBriefly(values);
}

function payloadText(payload: Payload): string {
  const value = decodeValue(payload);
  if (value instanceof Error) return headOf(value);
  return value === undefined ? "" : formatBriefly(value);
}

/** Names of operations by their numbers: they are counted in the order the turns issued them. */
export class OperationNames {
  readonly byNumber: Map<number, string> = new Map<number, string>();

  /** To be called turn by turn, from the first. Answers the numbers of the turn's commands; undefined for other commands. */
  add({ commands }: Pick<TurnView, "commands">): (number | undefined)[] {
    return commands.map(({ kind, target }) => {
      if (kind !== "operation") return undefined;
      const number = this.byNumber.size + 1;
      this.byNumber.set(number, target);
      return number;
    });
  }
}

export function turnDocument({ turn, timeMs, inputs, commands, dropped }: TurnView): Json {
  return {
    turn,
    timeMs,
    inputs: inputs.map(inputDocument),
    commands: commands.map(({ kind, target, digest }) => ({ kind, target, digest })),
    ...(dropped.length === 0 ? {} : { dropped: dropped.map(droppedDocument) }),
  };
}

export function droppedDocument({ number, name, state, attempt }: DroppedOperation): Json {
  return { operation: number, name, state, attempt };
}

export function inputDocument(input: Input): Json {
  switch (input.kind) {
    case "start":
      return {
        kind: "start",
        entry: input.entry || "default",
        args: toJson(decodeValue(input.args)),
        env: { ...input.env },
      };
    case "message":
      return { kind: "message", from: input.from, body: toJson(decodeValue(input.body)) };
    case "result":
      return { kind: "result", operation: input.operation, ok: input.ok, value: toJson(decodeValue(input.value)) };
    case "timer":
      return { kind: "timer", timer: input.timer };
    case "cancel":
      return { kind: "cancel", reason: input.reason };
    case "fatal":
      return { kind: "fatal", reason: input.reason, detail: input.detail };
    case "exit":
    case "down":
      return { ...input, value: toJson(decodeValue(input.value)) };
    case "restore":
      return { kind: "restore", life: input.life };
    case "discard":
      return { kind: "discard", message: input.message };
    case "pause":
    case "resume":
      return { kind: input.kind };
    case "verdict":
      return { kind: "verdict", verdict: input.verdict };
    case "move":
      return { ...input };
    case "export":
      return { kind: "export", file: input.file };
  }
}

/** "+1m 20s": how long after the turn before. */
export function gapText(timeMs: number, beforeMs: number | undefined): string {
  return beforeMs === undefined || timeMs - beforeMs < 1000 ? "" : `+${formatDuration(timeMs - beforeMs)}`;
}
