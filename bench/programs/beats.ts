import { self, sleep } from "perdure";
import { sign } from "./signs-host.ts";

/** Gives a sign of life, again and again; without a pause, one operation follows the other. */
export async function beats(pauseMs: number): Promise<void> {
  for (;;) {
    await sign("beat", self());
    if (pauseMs > 0) await sleep(pauseMs);
  }
}
