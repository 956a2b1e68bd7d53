/** How far a long command is, at the foot of a terminal. */
import { cut } from "./text.ts";

export interface ProgressBar {
  /** `share`: of the whole, from 0 to 1. `doing`: with what. */
  show(share: number, doing: string): void;
  /** Prints with the bar out of the way. */
  print(lines: () => void): void;
  end(): void;
}

const everyMs = 100;
const barWidth = 24;
const erase = "\r\u001b[K";

/** On a terminal only: a log has no use for it. */
export function progressBar(): ProgressBar {
  const { stderr } = process;
  if (!stderr.isTTY) return { show: () => undefined, print: (lines) => lines(), end: () => undefined };
  let shownMs = 0;
  let isShown = false;
  const hide = (): void => {
    if (isShown) stderr.write(erase);
    isShown = false;
  };
  return {
    show(share, doing) {
      const nowMs = performance.now();
      if (nowMs - shownMs < everyMs) return;
      shownMs = nowMs;
      const full = Math.round(Math.min(1, share) * barWidth);
      const line = `${"█".repeat(full)}${"░".repeat(barWidth - full)} ${String(Math.floor(share * 100)).padStart(3)} %  ${doing}`;
      stderr.write(`${erase}${cut(line, stderr.columns - 1)}`);
      isShown = true;
    },
    print(lines) {
      hide();
      lines();
    },
    end: hide,
  };
}
