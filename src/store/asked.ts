/** What is asked of a process, from outside, under a key. */
export interface Asked {
  readonly key: string;
  /** 128 bits over what is asked, hex: whoever asks again must agree with it. */
  readonly digest: string;
  /** What is asked, in a line, for people. */
  readonly about: string;
  /** `open`: an answer is wanted. */
  readonly state: "sent" | "open";
}
