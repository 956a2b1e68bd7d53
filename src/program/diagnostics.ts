/** Build errors as people read them: what and where, the line with a caret, what to do. */
import { PerdureError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";

export interface Place {
  /** As the program names it. */
  readonly path: string;
  /** Absolute. */
  readonly file: string;
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
  readonly lineText: string;
  /** How many characters the caret underlines. */
  readonly length: number;
}

export interface Diagnostic {
  readonly code: ErrorCode;
  readonly title: string;
  readonly place?: Place | undefined;
  /** What to do, a line each. */
  readonly advice: readonly string[];
}

/** One error for all that is wrong with a program. The first diagnostic decides the code and the details. */
export function buildError(diagnostics: readonly [Diagnostic, ...Diagnostic[]], cause?: unknown): PerdureError {
  const [{ code, place }] = diagnostics;
  return new PerdureError(code, diagnostics.map(format).join("\n\n"), {
    cause,
    details: place === undefined ? {} : { file: place.file, line: place.line, column: place.column },
  });
}

function format({ title, place, advice }: Diagnostic): string {
  const where = place === undefined ? [] : frame(place);
  const what = place === undefined ? title : `${place.path}:${place.line}:${place.column}: ${title}`;
  return [what, ...where, ...advice].join("\n");
}

/** Minified packages have lines of megabytes: only this much around the column is shown. */
const shownMax = 120;

function frame({ line, column, lineText, length }: Place): string[] {
  const from = lineText.length <= shownMax ? 0 : Math.max(0, column - 1 - shownMax / 2);
  const shown = lineText.slice(from, from + shownMax);
  const before = shown.slice(0, column - 1 - from);
  const carets = "^".repeat(Math.max(1, Math.min(length, shown.length - before.length)));
  const number = String(line);
  // Tabs stay tabs, so that the caret stands under its column whatever their width.
  return [`  ${number} | ${shown}`, `  ${" ".repeat(number.length)} | ${before.replace(/[^\t]/g, " ")}${carets}`];
}
