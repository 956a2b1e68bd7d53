import { PerdureError } from "./errors.ts";

/**
 * A length of time: milliseconds as a number, or a number with a unit, as in `"250ms"`, `"30s"`, `"1.5 h"`,
 * `"3 days"` or `"1h 30m"`. Units: ms, s, m, h, d, w and their English names.
 */
export type Duration = number | string;

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  millisecond: 1,
  milliseconds: 1,
  s: 1000,
  sec: 1000,
  second: 1000,
  seconds: 1000,
  m: 60_000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hr: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
  w: 604_800_000,
  week: 604_800_000,
  weeks: 604_800_000,
};

/** Milliseconds of a duration. Throws `DURATION_INVALID` for anything else than a finite, non-negative length. */
export function durationMs(duration: Duration): number {
  const result = typeof duration === "number" ? duration : parse(duration);
  if (!(result >= 0 && result < Infinity)) throw invalid(duration);
  return result;
}

function parse(text: string): number {
  if (typeof text !== "string") throw invalid(text);
  const part = /\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*/gy;
  let total = 0;
  let end = 0;
  const lower = text.toLowerCase();
  for (let match = part.exec(lower); match !== null; match = part.exec(lower)) {
    const unit = unitsMs[match[2] ?? ""];
    if (unit === undefined) throw invalid(text);
    total += Number(match[1]) * unit;
    end = part.lastIndex;
  }
  if (end === 0 || end !== text.length) throw invalid(text);
  return total;
}

function invalid(value: unknown): PerdureError {
  // JavaScript programs pass anything, also what cannot be made a text.
  const shown =
    typeof value === "string"
      ? JSON.stringify(value)
      : typeof value === "number" || typeof value === "bigint" || value === undefined || value === null
        ? String(value)
        : `a value of type ${typeof value}`;
  return new PerdureError(
    "DURATION_INVALID",
    `Cannot read ${shown} as a duration. Write milliseconds as a number, or a number with a unit: "250ms", "30s", "1.5 hours", "3 days".`,
  );
}
