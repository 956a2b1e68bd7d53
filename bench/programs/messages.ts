import { receive, self, send, spawn } from "perdure";
import type { Pid } from "perdure";
import { sign } from "./signs-host.ts";

/** Says that it is there, and hears from then on what it is to do. */
async function ready(): Promise<void> {
  await sign("ready", self());
}

// -- spawning -----------------------------------------------------------------------------------------------------

export async function newborn(parent: Pid): Promise<void> {
  await sign("born", self());
  send(parent, "born");
}

export function infant(parent: Pid): void {
  send(parent, "born");
}

/** One child after the other. From "before" to "after" is one turn; from "after" to "born" another one and the child's first. */
export async function parent(): Promise<void> {
  await ready();
  for (;;) {
    const { count } = await receive<{ count: number }>();
    for (let i = 0; i < count; i++) {
      await sign("before", self());
      await sign("after", self());
      spawn(newborn, self());
      await receive();
    }
    await sign("done", self());
  }
}

/** Many children at once. They say one word and end. */
export async function broodParent(): Promise<void> {
  await ready();
  for (;;) {
    const { count } = await receive<{ count: number }>();
    for (let i = 0; i < count; i++) spawn(infant, self());
    for (let i = 0; i < count; i++) await receive();
    await sign("done", self());
  }
}

// -- two processes ------------------------------------------------------------------------------------------------

export async function echo(to: Pid): Promise<void> {
  for (;;) send(to, await receive());
}

/** Plays with another process: `count` messages there and back, `inFlight` of them under way at a time. */
export async function player(): Promise<void> {
  const partner = spawn(echo, self());
  await ready();
  for (;;) {
    const { count, inFlight } = await receive<{ count: number; inFlight: number }>();
    for (let i = 0; i < inFlight; i++) send(partner, i);
    for (let back = 1; back <= count; back++) {
      await receive();
      if (back + inFlight <= count) send(partner, back);
    }
    await sign("done", self());
  }
}

// -- a ring -------------------------------------------------------------------------------------------------------

/** Hands tokens on. Each says how many hops it still has to go, and goes home after the last. */
export async function member(home: Pid, first: Pid | undefined): Promise<void> {
  const next = first ?? (await receive<Pid>());
  for (;;) {
    const left = await receive<number>();
    if (left > 0) send(next, left - 1);
    else send(home, "home");
  }
}

/** Keeps the ring, and lets tokens go at places equally far from each other. */
export async function ring(size: number): Promise<void> {
  const members: Pid[] = [];
  for (let i = 0; i < size; i++) members.push(spawn(member, self(), members.at(-1)));
  send(members[0]!, members.at(-1));
  await ready();
  for (;;) {
    const { tokens, hops } = await receive<{ tokens: number; hops: number }>();
    for (let i = 0; i < tokens; i++) send(members[Math.floor((i * size) / tokens)]!, hops);
    for (let i = 0; i < tokens; i++) await receive();
    await sign("done", self());
  }
}
