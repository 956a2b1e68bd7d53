/**
 * Notices of a process's end, in rows of the inbox. The exiting node does not know who hears of it, and the database does not
 * know how inputs are encoded: so each row holds the exit signal, the same for all, and what becomes of it is told by `monitor`.
 */
import { createHash } from "node:crypto";
import type { Input, Pid } from "../../../journal/types.ts";
import { encodeValue } from "../../../base/value.ts";
import type { Payload } from "../../../base/value.ts";
import { checksum, tieIdentity } from "../../checksum.ts";
import type { ProcessExit, ProcessKey } from "../../port.ts";

type Signal = Extract<Input, { readonly kind: "exit" }>;

const nothing: Payload = encodeValue(undefined);

/** A result is its waiter's, not everyone's. `from` may be left to the row. */
export function signalOf(from: Pid, { reason, value }: Pick<ProcessExit, "reason" | "value">): Signal {
  return { kind: "exit", from, reason, value: reason === "normal" ? nothing : value, linked: true, held: "" };
}

export function noProcess(from: Pid): Signal {
  return signalOf(from, { reason: "noproc", value: nothing });
}

export function downOf({ from, reason, value }: Omit<Signal, "kind">, monitor: number): Input {
  return { kind: "down", monitor, from, reason, value };
}

/** What of a notice is in its row and not in the signal. */
export interface Notice {
  readonly process: ProcessKey;
  /** Undefined: a link. */
  readonly monitor: number | undefined;
  readonly sender: Pid;
}

/** What the receiver hears. */
export function composed(signal: Input, { monitor, sender }: Notice): Input {
  if (signal.kind !== "exit") throw new Error(`a notice is no ${signal.kind}`);
  return monitor === undefined ? { ...signal, from: sender } : downOf({ ...signal, from: sender }, monitor);
}

/** SQL of the checksum of a notice, of which `crc` is what `checksum` says of the signal and the process that ended. */
export function noticeCrc(crc: string, process: string, monitor: string, sender: string): string {
  const identity = `CAST(${process} AS text) || ' ' || coalesce(CAST(${monitor} AS text), 'link') || ' ' || ${sender}`;
  const digits = `encode(substring(sha256(convert_to(${identity}, 'UTF8')) FROM 1 FOR 4), 'hex')`;
  return `(${crc} + CAST(CAST('x' || ${digits} AS bit(32)) AS bigint)) % ${2 ** 32}`;
}

/** What the checksum of the signal alone was. */
export function signalCrc(crc: number, { process, monitor, sender }: Notice): number {
  const identity = `${process} ${monitor ?? "link"} ${sender}`;
  const more = createHash("sha256").update(identity).digest().readUInt32BE(0);
  return (crc - more + 2 ** 32) % 2 ** 32;
}

/** By which of the receiver's monitors an input tells of an end; undefined: by a link. */
export function monitorOf(input: Input): number | undefined {
  return input.kind === "exit" ? undefined : input.kind === "down" ? input.monitor : 0;
}

export function inputChecksum(body: Uint8Array, process: ProcessKey, tie?: ProcessKey, monitor?: number): number {
  return checksum(body, process, 0, tieIdentity(tie, monitor));
}
