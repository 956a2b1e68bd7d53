import { readFileSync } from "node:fs";
import path from "node:path";
import { getLineInfo } from "acorn";
import type { Place } from "./diagnostics.ts";
import { displayPath } from "./paths.ts";
import { originalPosition } from "./source-map.ts";

/** A place in code esbuild has generated, in terms of the sources. The map's sources are relative to `folder`. */
export function placeAt(code: string, map: string, offset: number, folder: string): Place | undefined {
  if (offset < 0) return undefined;
  const generated = getLineInfo(code, offset);
  const position = originalPosition(map, generated.line, generated.column + 1);
  if (position === undefined) return undefined;
  const { line, column } = position;
  const source = path.resolve(folder, position.source);
  const lineText = readFileSync(source, "utf8").split(/\r?\n/)[line - 1] ?? "";
  const length = /^[\p{ID_Continue}$]+/u.exec(lineText.slice(column - 1))?.[0].length ?? 1;
  return { path: displayPath(folder, source), file: source, line, column, lineText, length };
}
