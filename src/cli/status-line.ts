/**
 * One line at the foot of a terminal that says what is being waited for, while nothing else has been printed for a second.
 *
 * Host code prints to the same terminal behind our back, so the streams themselves are watched: the line is erased before
 * anything is written, by whomever, and does not appear behind half a line.
 */
import { cut, oneLine } from "./text.ts";

export interface StatusLine {
  /** Erases the line and lets go of the streams. */
  stop(): void;
}

const quietMs = 1000;
const everyMs = 1000;
const erase = "\r\u001b[K";

type Write = NodeJS.WriteStream["write"];

/** `describe` answers undefined when there is nothing to say. */
export function startStatusLine(
  describe: () => Promise<string | undefined>,
  paint: (text: string) => string,
): StatusLine {
  const { stdout, stderr } = process;
  if (!stderr.isTTY) return { stop: () => undefined };
  let shown = false;
  let stopped = false;
  let lastOutputMs = performance.now();
  let atLineStart = true;
  const restore = new Map<NodeJS.WriteStream, Write>();

  const hide = (): void => {
    if (!shown) return;
    shown = false;
    restore.get(stderr)?.call(stderr, erase);
  };
  const watch = (stream: NodeJS.WriteStream): void => {
    const write: Write = stream.write.bind(stream);
    restore.set(stream, write);
    stream.write = (chunk: string | Uint8Array, ...rest: never[]): boolean => {
      hide();
      lastOutputMs = performance.now();
      if (stream.isTTY && chunk.length > 0)
        atLineStart = typeof chunk === "string" ? chunk.endsWith("\n") : chunk.at(-1) === 10;
      return write(chunk, ...rest);
    };
  };
  watch(stdout);
  watch(stderr);

  const show = async (): Promise<void> => {
    if (performance.now() - lastOutputMs < quietMs || !atLineStart) return;
    const text = await describe().catch(() => undefined);
    if (stopped || text === undefined || performance.now() - lastOutputMs < quietMs) return;
    shown = true;
    restore.get(stderr)?.call(stderr, `${erase}${paint(cut(oneLine(text), stderr.columns - 1))}`);
  };
  const timer = setInterval(() => void show(), everyMs);
  return {
    stop: () => {
      if (stopped) return;
      stopped = true;
      clearInterval(timer);
      hide();
      for (const [stream, write] of restore) stream.write = write;
    },
  };
}
