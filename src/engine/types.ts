/** Types that let a caller use a program's own: `Engine.open<typeof import("./app.ts")>(…)`. */

type Callable = (...args: never[]) => unknown;

/** What can be started in a program of type `P`: its exported functions; any string if the program's type is not known. */
export type EntryName<P> = unknown extends P
  ? string
  : { [K in keyof P]: P[K] extends Callable ? K : never }[keyof P] & string;

export type EntryArgs<P, E extends string> = E extends keyof P
  ? P[E] extends (...args: infer A) => unknown
    ? A
    : unknown[]
  : unknown[];

export type EntryResult<P, E extends string> = E extends keyof P
  ? P[E] extends (...args: never[]) => infer R
    ? Awaited<R>
    : unknown
  : unknown;
