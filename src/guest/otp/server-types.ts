/** What of a server's class others can call, for the compiler. */
import type { Reply } from "./reply.ts";

/** Methods that Perdure calls. */
export type Hook = "init" | "terminate" | "handleInfo";

/** The names of a server's public methods. Private and protected ones are not among them. */
export type Method<S> = {
  [K in keyof S]: K extends Hook | symbol ? never : S[K] extends (...args: never) => unknown ? K : never;
}[keyof S];

/** A method's answer, as its caller gets it. */
export type Answer<R> = Awaited<R> extends infer A ? (A extends Reply<infer T> ? T : A) : never;

/** A server's methods as calls. */
export type Calls<S> = {
  readonly [K in Method<S>]: S[K] extends (...args: infer Args) => infer R
    ? (...args: Args) => Promise<Answer<R>>
    : never;
};

/** A server's methods as casts. */
export type Casts<S> = {
  readonly [K in Method<S>]: S[K] extends (...args: infer Args) => unknown ? (...args: Args) => void : never;
};
