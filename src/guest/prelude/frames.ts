import { defineProperty } from "./intrinsics.ts";

interface Frame {
  getFunction?: () => unknown;
}

type PrepareStackTrace = (error: Error, frames: readonly Frame[]) => unknown;

/**
 * A program's `Error.prepareStackTrace` is handed the frames of a stack, and a frame of this engine hands out its function:
 * that would be the way to the prelude's inner ones, `dispatch` first of all. From here on it is undefined, as for strict
 * functions in V8.
 */
export function hideFunctionsOfFrames(): void {
  const errors = Error as unknown as { prepareStackTrace: PrepareStackTrace | undefined };
  const before = errors.prepareStackTrace;
  let frame: Frame | undefined;
  errors.prepareStackTrace = (_error, frames) => {
    frame = frames[0];
  };
  void new Error("frame").stack;
  errors.prepareStackTrace = before;
  const prototype = Object.getPrototypeOf(frame) as Frame;
  defineProperty(prototype, "getFunction", { value: () => undefined, writable: true, configurable: true });
}
