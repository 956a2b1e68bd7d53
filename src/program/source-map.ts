/** Reading and tidying source maps. */
import { TraceMap, originalPositionFor } from "@jridgewell/trace-mapping";

export interface Position {
  /** As the map names it: relative to the entry's folder. */
  readonly source: string;
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
}

/** Enough for the programs that fail at one time; a parsed map is some ten times the size of its text. */
const parsedMax = 8;
const parsed = new Map<string, TraceMap | undefined>();

/** Undefined for text that is no source map: whoever formats an error must not fail at it. */
function parseMap(text: string): TraceMap | undefined {
  let map = parsed.get(text);
  if (map === undefined && !parsed.has(text)) {
    try {
      map = new TraceMap(text);
    } catch {
      map = undefined;
    }
  }
  // Taken out and put back: the first key is always the one unused for longest.
  parsed.delete(text);
  parsed.set(text, map);
  if (parsed.size > parsedMax) parsed.delete(parsed.keys().next().value as string);
  return map;
}

/** Where a place in the generated text comes from; line and column from 1. */
export function originalPosition(mapText: string, line: number, column: number): Position | undefined {
  const map = parseMap(mapText);
  if (map === undefined || line < 1 || column < 1) return undefined;
  const found = originalPositionFor(map, { line, column: column - 1 });
  return found.source === null ? undefined : { source: found.source, line: found.line, column: found.column + 1 };
}

interface RawMap {
  sources: string[];
  sourcesContent?: (string | null)[];
}

/**
 * Renames the sources of a map, and drops the text of those for which `keepText` says false: packages would only swell
 * the store, and a host module's text does not belong into a program.
 */
export function tidyMap(
  text: string,
  rename: (source: string) => string,
  keepText: (source: string) => boolean,
): string {
  const map = JSON.parse(text) as RawMap;
  map.sourcesContent = map.sources.map((source, i) => (keepText(source) ? (map.sourcesContent?.[i] ?? null) : null));
  map.sources = map.sources.map(rename);
  return JSON.stringify(map);
}
