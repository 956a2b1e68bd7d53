/** A program on its way into the store. */
import { createHash } from "node:crypto";
import { engineHash, readEngineBinary } from "../machine/engine-binary.ts";
import type { ProgramRow } from "../store/port.ts";

export interface Deployment extends Pick<ProgramRow, "hash" | "file" | "operations"> {
  readonly bundle: string;
  readonly sourceMap: string;
  readonly prelude: string;
}

interface Blob {
  readonly hash: string;
  readonly bytes: Uint8Array;
}

/** A process needs nothing else to go on. */
export function programRow(
  deployment: Deployment,
  createdAtMs: number,
): { readonly row: ProgramRow; readonly blobs: readonly Blob[] } {
  const { hash, file, operations } = deployment;
  const bundle = textBlob(deployment.bundle);
  const sourceMap = textBlob(deployment.sourceMap);
  const prelude = textBlob(deployment.prelude);
  const engine = { hash: engineHash, bytes: readEngineBinary() };
  const hashes = { bundle: bundle.hash, sourceMap: sourceMap.hash, prelude: prelude.hash, engine: engine.hash };
  return { row: { hash, file, createdAtMs, ...hashes, operations }, blobs: [bundle, sourceMap, prelude, engine] };
}

function textBlob(text: string): Blob {
  const bytes = Buffer.from(text);
  return { hash: createHash("sha256").update(bytes).digest("hex"), bytes };
}
