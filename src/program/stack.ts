/** Stack traces from inside the sandbox, in terms of the user's files. */
import { originalPosition } from "./source-map.ts";

/** File names under which the sandbox evaluates code; they appear in its stack traces. */
export const programFileName = "perdure:program";
export const preludeFileName = "perdure:prelude";

export interface StackMaps {
  /** Source map of the program (`Program.sourceMap`). Without it the program's frames stay as they are. */
  readonly programMap?: string | undefined;
  /** Source map of the prelude (`Prelude.sourceMap`). */
  readonly preludeMap?: string | undefined;
}

// "    at fn (file:line:column)", or without a function "    at file:line:column"; file names may contain colons. Where an
// error with fields is printed, a brace follows its last frame.
const framePattern = /^(\s*at (?:.*\()?)([^()]+):(\d+):(\d+)(\)?)( \{)?$/;
const nativePattern = /^\s*at .*\(native\)$/;

/**
 * Maps the frames of a QuickJS stack to the sources: `at order (perdure:program:12:34)` becomes `at order (app.ts:3:5)`.
 *
 * Frames of the prelude, and native ones that it called, are Perdure's own affair and dropped, unless the stack has no other
 * place to show. Other frames without a place (`(native)`), and lines that are no frames, are kept as they are. Never throws.
 */
export function mapStack(stack: string, maps: StackMaps): string {
  const lines = stack.split("\n").map((line) => ({ line, frame: framePattern.exec(line) }));
  const elsewhere = lines.some(({ frame }) => frame !== null && frame[2] !== preludeFileName);
  const kept: string[] = [];
  for (const { line, frame } of lines) {
    if (frame === null) kept.push(line);
    else if (frame[2] !== preludeFileName || !elsewhere) kept.push(mapFrame(frame, maps));
    else {
      while (nativePattern.test(kept.at(-1) ?? "")) kept.pop();
      if (frame[6] !== undefined && kept.length > 0) kept.push(kept.pop() + frame[6]);
    }
  }
  return kept.join("\n");
}

function mapFrame(frame: RegExpExecArray, maps: StackMaps): string {
  const [line, head = "", file = "", lineNumber = "", column = "", tail = "", brace = ""] = frame;
  const map = file === programFileName ? maps.programMap : file === preludeFileName ? maps.preludeMap : undefined;
  const position = map === undefined ? undefined : originalPosition(map, Number(lineNumber), Number(column));
  return position === undefined ? line : `${head}${position.source}:${position.line}:${position.column}${tail}${brace}`;
}
