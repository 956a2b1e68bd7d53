/** Types that let a caller use a program's own: `Engine.open<typeof import("./app.ts")>(…)`. */
import type { InitArgs, Server } from "../guest/otp/server.ts";
import type { SupervisorSpecification } from "../guest/otp/supervisor/types.ts";

type Callable = (...args: never[]) => unknown;
type ServerLike = abstract new () => Server;

/**
 * What can be started in a program of type `P`: its exported functions, classes of servers and supervisors; any string if the
 * program's type is not known.
 */
export type EntryName<P> = unknown extends P
  ? string
  : { [K in keyof P]: P[K] extends Callable | ServerLike | SupervisorSpecification ? K : never }[keyof P] & string;

export type EntryArgs<P, E extends string> = E extends keyof P
  ? P[E] extends (...args: infer A) => unknown
    ? A
    : P[E] extends abstract new () => infer S
      ? InitArgs<S>
      : unknown[]
  : unknown[];

export type EntryResult<P, E extends string> = E extends keyof P
  ? P[E] extends (...args: never[]) => infer R
    ? Awaited<R>
    : unknown
  : unknown;

/** The classes of servers that a program of type `P` exports; any string if the program's type is not known. */
export type ServerName<P> = unknown extends P
  ? string
  : { [K in keyof P]: P[K] extends ServerLike ? K : never }[keyof P] & string;

/** Those that can be got by key: their `init` takes nothing, or the key. */
export type KeyedName<P> = unknown extends P
  ? string
  : {
      [K in keyof P]: P[K] extends abstract new () => Server & { init?(key: string): unknown } ? K : never;
    }[keyof P] &
      string;

/** An instance of the class, as the program has it. */
export type ServerOf<P, E extends string> = E extends keyof P
  ? P[E] extends abstract new () => infer S
    ? S
    : AnyServer
  : AnyServer;

/** A server of which nothing is known. */
export type AnyServer = Record<string, (...args: any[]) => any>;
