/** What stays of an exported process, as a store keeps it: JSON, with inputs as the journal encodes them, in base64. */
import { readEdgeAddress } from "../base/edge-key.ts";
import { decodeInput, encodeInput } from "../journal/encoding.ts";
import type { ExportedRow, LateInput } from "./exports.ts";
import type { EdgeRow, InboxRow } from "./port.ts";

interface Stored extends Omit<ExportedRow, "late"> {
  readonly late: readonly (Omit<LateInput, "input"> & { readonly input: string })[];
}

export function encodeExported(row: ExportedRow): Uint8Array {
  const late = row.late.map((each) => ({ ...each, input: Buffer.from(encodeInput(each.input)).toString("base64") }));
  const stored: Stored = { ...row, late };
  return Buffer.from(JSON.stringify(stored));
}

/** Of what `encodeExported` wrote. Checksums are the store's business. */
export function decodeExported(bytes: Uint8Array): ExportedRow {
  const stored = JSON.parse(Buffer.from(bytes).toString("utf8")) as Stored;
  const late = stored.late.map((each) => ({ ...each, input: decodeInput(Buffer.from(each.input, "base64")) }));
  return { ...stored, late };
}

/** `edge`: what the process was asked under a key. */
export function lateInput({ input, atMs }: InboxRow, edge: (key: string) => EdgeRow | undefined): LateInput {
  const address = input.kind === "message" ? readEdgeAddress(input.from) : undefined;
  const found = address === undefined ? undefined : edge(address.key);
  if (found === undefined || found.digest !== address?.digest) return { input, atMs };
  const { key, digest, about, state } = found;
  return { input, atMs, asked: { key, digest, about, state: state === "sent" ? "sent" : "open" } };
}
