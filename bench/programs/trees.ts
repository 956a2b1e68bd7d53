import { checkpoint, receive, self, Server, Supervisor, supervisor } from "perdure";
import type { Recover, SupervisorRef, SupervisorSpecification } from "perdure";
import { sign } from "./signs-host.ts";

// -- restarts -----------------------------------------------------------------------------------------------------

/** Says each time where it is; "fail" is too much for it. */
export async function failing(recover: Recover): Promise<void> {
  if (recover === "checkpoint") await checkpoint();
  await sign(recover, self());
  for (;;) {
    if ((await receive()) === "fail") throw new Error("as told");
    await sign(recover, self());
  }
}

/** One child that starts anew as `recover` says, as often as need be. */
export function failingTree(recover: Recover): SupervisorSpecification {
  return supervisor({ intensity: 1e6, children: [{ id: "failing", start: [failing, recover], recover }] });
}

// -- many children ------------------------------------------------------------------------------------------------

export class Child extends Server {
  number = 0;

  init(number: number): void {
    this.number = number;
  }
}

type Kind = "pool" | "list";

async function begin(kind: Kind): Promise<SupervisorRef> {
  if (kind === "list") return await Supervisor.start(supervisor({ children: [] }));
  return await Supervisor.start(supervisor({ strategy: "simple_one_for_one", template: { start: [Child] } }));
}

/** Starts a supervisor, and when it is told to, `count` children of it, so many calls under way at a time. */
export async function parents(kind: Kind): Promise<void> {
  const tree = await begin(kind);
  await sign("ready", self());
  const { count, atOnce } = await receive<{ count: number; atOnce: number }>();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const number = next++;
      const { error } = await (kind === "list"
        ? tree.startChild({ id: `child ${number}`, start: [Child, number] })
        : tree.startChild(number));
      if (error !== undefined) throw new Error(`child ${number}: ${JSON.stringify(error)}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  await sign("done", self());
}
