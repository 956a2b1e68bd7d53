// A video player. When its decoder crashes, a new one takes its place, but that is not enough: whoever watches wants to go
// on where they were, and not to see the film from its start.
//
//   perdure serve examples/player/player.ts
//
// Three things can fail, and each has its own answer:
//
// - Some frames are damaged, and the decoder crashes on them. What it has in hand is worth nothing: it starts afresh.
// - There is no chapter 9. On `perdure send player '{"chapter": 9}'` the player itself crashes. Its position is what counts: it goes
//   on from the heap before that message, and the message is set aside (`perdure dead-letters`).
// - `kill -9` ends the node. Then nothing in here has failed: serve it again, and it goes on at the next frame.

import { register, self, sendAfter, Server, supervisor } from "perdure";
import { chapters, frames } from "./film.ts";

/** Shows one frame after the other. It trusts them: there is no code in here for those that are damaged. */
export class Decoder extends Server {
  async init() {
    await register("decoder");
  }

  show(number: number, frame: string) {
    console.log(`${String(number).padStart(3)} ${atob(frame)}`);
  }
}

type Message = "next frame" | { chapter: number };

/** Knows where in the film we are, and hardly anything else. */
export class Player extends Server {
  position = 0;

  async init() {
    await register("player");
    sendAfter(self(), "next frame", 50);
  }

  handleInfo(message: Message) {
    if (message === "next frame") this.play();
    else this.position = chapters[message.chapter - 1]!.start;
  }

  private play() {
    Decoder.ref("decoder").cast.show(this.position, frames[this.position]!);
    this.position = (this.position + 1) % frames.length;
    sendAfter(self(), "next frame", 50);
  }
}

export default supervisor({
  intensity: 5,
  children: [
    { id: "decoder", start: [Decoder] },
    { id: "player", start: [Player], recover: "previous" },
  ],
});
