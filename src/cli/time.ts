/** Times and lengths of time for people. */

const units = [
  { name: "d", ms: 86_400_000 },
  { name: "h", ms: 3_600_000 },
  { name: "m", ms: 60_000 },
  { name: "s", ms: 1000 },
] as const;

/** The two largest units that matter: "3d 4h", "5m 10s", "12s"; "0s" below a second. */
export function formatDuration(lengthMs: number): string {
  let left = Math.max(0, Math.floor(lengthMs / 1000)) * 1000;
  const first = units.findIndex(({ ms }) => left >= ms);
  if (first === -1) return "0s";
  const parts: string[] = [];
  for (const { name, ms } of units.slice(first, first + 2)) {
    const count = Math.floor(left / ms);
    left -= count * ms;
    if (count > 0) parts.push(`${count}${name}`);
  }
  return parts.join(" ");
}

/** The largest unit only, for columns: "3d", "5m", "12s". */
export function formatRoughly(lengthMs: number): string {
  return formatDuration(lengthMs).split(" ")[0] ?? "0s";
}

export function formatAgo(atMs: number, nowMs: number): string {
  return nowMs - atMs < 1000 ? "just now" : `${formatRoughly(nowMs - atMs)} ago`;
}

/** "in 5m 10s", or "due" when the time has come. */
export function formatIn(dueMs: number, nowMs: number): string {
  return dueMs <= nowMs ? "due" : `in ${formatDuration(Math.max(1000, dueMs - nowMs))}`;
}

/** Local time, to the second: "2026-03-01 14:05:09". */
export function formatTime(atMs: number): string {
  const time = new Date(atMs);
  if (Number.isNaN(time.getTime())) return String(atMs);
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** With milliseconds, for lines that stand close together. */
export function formatTimeExactly(atMs: number): string {
  return `${formatTime(atMs)}.${String(Math.trunc(atMs) % 1000).padStart(3, "0")}`;
}
