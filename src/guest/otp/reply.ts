import { reply as answer, replyError } from "./requests.ts";
import type { Request } from "./requests.ts";
import type { Refusal } from "./errors.ts";

/** Beyond the reach of programs: ties a reply to the call that it answers. */
export let bindReply: (reply: Reply<unknown>, request: Request | undefined) => void;

/**
 * An answer that comes later. A method that returns one has not answered yet; the server goes on with other messages, and
 * the caller waits until `send` or `refuse` is called, from any method.
 *
 *     take(): Item | Reply<Item> {
 *       const item = this.items.shift();
 *       if (item !== undefined) return item;
 *       const reply = new Reply<Item>();
 *       this.waiting.push(reply);
 *       return reply;
 *     }
 *     put(item: Item) {
 *       const reply = this.waiting.shift();
 *       if (reply === undefined) this.items.push(item);
 *       else reply.send(item);
 *     }
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller's answer is typed by it
export class Reply<T> {
  /** Undefined until the method has returned; null if it was a cast, which nobody waits for. */
  #request: Request | null | undefined;
  /** What was said before that. */
  #early: (() => void) | undefined;
  #done = false;

  static {
    bindReply = (reply, request) => {
      reply.#request = request ?? null;
      reply.#early?.();
      reply.#early = undefined;
    };
  }

  /** Answers the call. The first answer counts. Throws VALUE_NOT_CLONEABLE for what cannot cross. */
  send(value: T): void {
    this.#answer((request) => answer(request, value));
  }

  /** Rejects the call. The first answer counts. */
  refuse(refusal: Refusal): void {
    this.#answer((request) => replyError(request, refusal, "refusal"));
  }

  #answer(say: (request: Request) => void): void {
    if (this.#done) return;
    this.#done = true;
    const request = this.#request;
    if (request === undefined) this.#early = () => this.#request && say(this.#request);
    else if (request !== null) say(request);
  }
}
