import { receive, self, send, Server, spawn } from "perdure";
import type { Pid } from "perdure";
import { sign } from "./signs-host.ts";

/** The least a server can be. */
export class Counter extends Server {
  count = 0;

  add(): number {
    return ++this.count;
  }
}

interface Calls {
  readonly server: Pid;
  readonly count: number;
}

/** Calls a server, one call after the other, and says when it is done. */
export async function caller(boss: Pid): Promise<void> {
  for (;;) {
    const { server, count } = await receive<Calls>();
    const counter = Counter.ref(server);
    for (let i = 0; i < count; i++) await counter.add();
    send(boss, "done");
  }
}

/** Has a server called, by so many callers at a time. */
export async function callers(most: number): Promise<void> {
  const all = Array.from({ length: most }, () => spawn(caller, self()));
  await sign("ready", self());
  for (;;) {
    const { server, count, atOnce } = await receive<Calls & { atOnce: number }>();
    for (const pid of all.slice(0, atOnce)) send(pid, { server, count: count / atOnce });
    for (let i = 0; i < atOnce; i++) await receive();
    await sign("done", self());
  }
}
