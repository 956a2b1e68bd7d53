/** Conversations: one process counts aloud, another one listens to it and to somebody outside, and hears of its end. */
import { Down, Exit, link, monitor, receive, self, send, sleep, trapExit } from "perdure";
import type { Pid } from "perdure";
import { noted } from "./bank.ts";

export interface Said {
  readonly from: "talker" | "outside";
  readonly number: number;
  /** Of the first word of a talker. */
  readonly pid?: Pid;
}

export interface Heard {
  readonly talker: number;
  /** The words from outside, in their order. */
  readonly outside: readonly number[];
  /** What came too early, too late, or twice. */
  readonly faults: readonly string[];
}

/** Goes on after its first word when it is watched. */
export async function talker(to: Pid<Said>, count: number): Promise<number> {
  send(to, { from: "talker", number: 1, pid: self() });
  await receive();
  for (let number = 2; number <= count; number++) {
    send(to, { from: "talker", number });
    if (number % 3 === 0) await noted(number);
    else if (number % 3 === 1) await sleep(Math.floor(Math.random() * 200));
  }
  return count;
}

/** `talks`: what it is to hear from each before it ends. It watches the talker by a monitor, or by a link. */
export async function listener(talks: number, watches: "link" | "monitor"): Promise<Heard> {
  if (watches === "link") trapExit();
  let fromTalker = 0;
  const outside: number[] = [];
  const faults: string[] = [];
  let isOver = false;
  while (!isOver || outside.length < talks) {
    const said = await receive<Said | Down | Exit>();
    if (said instanceof Down || said instanceof Exit) {
      if (isOver) faults.push("a second end");
      if (fromTalker !== talks) faults.push(`the end after ${fromTalker} of ${talks}`);
      if (said.reason !== "normal") faults.push(`an end for ${String(said.reason)}`);
      isOver = true;
      continue;
    }
    const { from, number, pid } = said;
    if (from === "outside") outside.push(number);
    else {
      if (number !== fromTalker + 1) faults.push(`${number} after ${fromTalker}`);
      fromTalker = number;
    }
    if (pid !== undefined) {
      if (watches === "link") link(pid);
      else monitor(pid);
      send(pid, "watched");
    }
    if (number % 4 === 0) await noted(number);
  }
  return { talker: fromTalker, outside, faults };
}
