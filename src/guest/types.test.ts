/**
 * What must not compile. The functions below are never called: `tsc` fails on a line marked with @ts-expect-error that has
 * no error, and on one without the mark that has. Beside them, that patterns match at run time what their types say.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mailbox, receive, send, self, sendAfter, spawn, spawnLink, spawnMonitor } from "./api.ts";
import type { Exit, Mailbox, Pid } from "./api.ts";
import { matches } from "./match.ts";

interface Add {
  readonly type: "add";
  readonly count: number;
}
interface Get {
  readonly type: "get";
  readonly from: Pid<number>;
}

async function counter(this: Mailbox<Add | Get | Exit>, start: number, name?: string): Promise<void> {
  const any: Add | Get | Exit = await this.receive();
  const add: Add = await this.receive({ match: { type: "add" } });
  const get: Get = await this.receive({ match: { type: "get" }, timeout: "5s" });
  // @ts-expect-error a message of type "get" is no Add
  const wrong: Add = await this.receive({ match: { type: "get" } });
  send(get.from, add.count + start);
  // @ts-expect-error who asks wants a number
  send(get.from, name);
  send(self(), [any, wrong]);
}
async function plain(text: string): Promise<string> {
  return text;
}

export function spawning(): void {
  const pid: Pid<Add | Get> = spawn(counter, 1);
  spawnLink(counter, 1, "name");
  const { pid: monitored } = spawnMonitor(counter, 1);
  // @ts-expect-error an argument is missing
  spawn(counter);
  // @ts-expect-error of another type
  spawn(counter, "1");
  // @ts-expect-error one too many
  spawnLink(plain, "a", "b");
  // @ts-expect-error no function
  spawn(5);
  send(pid, { type: "add", count: 1 });
  send(pid, { type: "get", from: self<number>() });
  // @ts-expect-error not in the mailbox's type
  send(pid, { type: "remove" });
  // @ts-expect-error the field is missing
  send(monitored, { type: "add" });
  // @ts-expect-error nobody can send an Exit
  send(pid, {} as Exit);
  // @ts-expect-error later it is as wrong
  sendAfter(pid, "add", "5s");
  // @ts-expect-error this process understands less than promised
  const more: Pid<Add | Get | string> = pid;
  const fewer: Pid<Add> = pid;
  const text: string = pid;
  const untyped: Pid = spawn(plain, text);
  send(untyped, [more, fewer]);
  send("some-name", { anything: true });
}

export async function receiving(): Promise<void> {
  const unknown: unknown = await receive();
  const said: { approved: boolean } = await receive<{ approved: boolean }>();
  const numbers: number = await receive({ match: (m): m is number => typeof m === "number" });
  const date: Date = await receive({ match: Date });
  const add: { type: "add"; count: number } = await receive({ match: { type: "add", count: Number } });
  const [tag, first] = await receive({ match: ["sum", Number] });
  const sum: "sum" = tag;
  const count: number = first;
  // @ts-expect-error the pattern says it is a number
  const wrong: { count: string } = await receive({ match: { count: Number } });
  const own: Add = await mailbox<Add>().receive();
  assert.ok([unknown, said, numbers, date, add, sum, count, wrong, own]);
}

test("a pattern takes what its type says", () => {
  const [guard, list] = [(value: unknown): value is number => value === 5, ["sum", Number]];
  const yes: readonly (readonly [pattern: unknown, value: unknown])[] = [
    [guard, 5],
    [Date, new Date(0)],
    [class A {}, undefined],
    [String, ""],
    [Number, NaN],
    [Boolean, false],
    [BigInt, 1n],
    [{ type: "add" }, { type: "add", count: 1 }],
    [{ at: { x: Number } }, { at: { x: 1, y: 2 } }],
    [{}, []],
    [list, ["sum", 1, 2]],
    [undefined, undefined],
    [NaN, NaN],
  ];
  for (const [pattern, value] of yes) assert.equal(matches(pattern, value), value !== undefined || pattern === value);
  const no: readonly (readonly [pattern: unknown, value: unknown])[] = [
    [guard, 6],
    [Date, 0],
    [String, new String("")],
    [{ type: "add" }, { type: "get" }],
    [{ type: undefined }, {}],
    [{ toString: Function }, {}],
    [{}, null],
    [list, ["sum"]],
    [list, ["sum", "1"]],
    [list, { 0: "sum", 1: 1 }],
    [0, -0],
    [null, undefined],
  ];
  for (const [pattern, value] of no) assert.equal(matches(pattern, value), false);
  function named(value: unknown): value is string {
    return value === "x";
  }
  assert.deepEqual([matches(named, "x"), matches(named, "y")], [true, false]);
});
