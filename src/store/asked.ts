/** What is asked of processes, from outside, under keys, and what became of it: the edges. */
import type { ProcessKey } from "../journal/types.ts";
import type { Payload } from "../base/value.ts";

export interface Asked {
  readonly key: string;
  /** 128 bits over what is asked, hex: whoever asks again must agree with it. */
  readonly digest: string;
  /** What is asked, in a line, for people. */
  readonly about: string;
  /** `open`: an answer is wanted. */
  readonly state: "sent" | "open";
}

export const edgeStates = [
  /** A message: nothing comes back. */
  "sent",
  /** A call without an answer. None will come if its process has exited. */
  "open",
  "answered",
  /** The call made its server fail and was set aside as a dead letter. If that is sent again, it may yet be answered. */
  "set-aside",
  /** Its server took the call, and then went back to a checkpoint from before. */
  "forgotten",
] as const;
export type EdgeState = (typeof edgeStates)[number];

/** Stays when its process exits, so that whoever asks again hears the same. */
export interface EdgeRow extends Omit<Asked, "state"> {
  readonly process: ProcessKey;
  /** When it was asked first. */
  readonly atMs: number;
  readonly state: EdgeState;
  /** Of one that is answered: the message that was the answer. */
  readonly answer: Payload | undefined;
}

export interface NewEdge extends Asked {
  readonly process: ProcessKey;
  readonly atMs: number;
}

/** What becomes of a call. */
export type EdgeEnd = Pick<EdgeRow, "process" | "key" | "digest"> &
  (
    | { readonly state: "answered"; readonly answer: Payload }
    | { readonly state: "set-aside" | "forgotten"; readonly answer?: undefined }
  );
