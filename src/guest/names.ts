/** Names, groups, and what else only the kernel can say of other processes. All of it is answered at once. */
import { PerdureError } from "../base/errors.ts";
import { askKernel } from "./kernel-operations.ts";
import { requirePid } from "./pid.ts";
import type { Pid } from "./pid.ts";
import { self } from "./process.ts";

/**
 * Gives a process a name, by which it can be sent to, called and monitored until it ends. A name has one process; a process may
 * have several. Rejects with NAME_TAKEN, also for what is a pid, or with PROCESS_NOT_FOUND if the process has ended.
 */
export async function register(name: string, pid: Pid = self()): Promise<void> {
  requireName(name, "A process's name");
  requirePid(pid, "register");
  await askKernel("register", { name, pid });
}

/** Takes a name back. False if nobody has it. */
export async function unregister(name: string): Promise<boolean> {
  requireName(name, "A process's name");
  return (await askKernel("unregister", { name })) as boolean;
}

/** Who is registered under this name. */
export async function whereis<Message = any>(name: string): Promise<Pid<Message> | undefined> {
  requireName(name, "A process's name");
  return (await askKernel("whereis", { name })) as Pid<Message> | undefined;
}

/** Makes a process a member of a group until it leaves or ends. Joining twice is joining once. */
export async function join(group: string, pid: Pid = self()): Promise<void> {
  requireName(group, "A group's name");
  requirePid(pid, "join");
  await askKernel("join", { group, pid });
}

export async function leave(group: string, pid: Pid = self()): Promise<void> {
  requireName(group, "A group's name");
  requirePid(pid, "leave");
  await askKernel("leave", { group, pid });
}

/** The members of a group, in the order they were started. Nobody has to make a group: an unknown one is empty. */
export async function members<Message = any>(group: string): Promise<Pid<Message>[]> {
  requireName(group, "A group's name");
  return (await askKernel("members", { group })) as Pid<Message>[];
}

/** Whether the process has been started and has not ended. By the time the answer is read it may have. */
export async function isAlive(pid: Pid): Promise<boolean> {
  requirePid(pid, "isAlive");
  return (await askKernel("alive", { pid })) as boolean;
}

/** Stops a process's turns until `resume`; what reaches it waits. False if it has ended or is paused already. */
export async function pause(pid: Pid): Promise<boolean> {
  requirePid(pid, "pause");
  return (await askKernel("pause", { pid })) as boolean;
}

/** Lets a paused process go on. False if it is not paused. */
export async function resume(pid: Pid): Promise<boolean> {
  requirePid(pid, "resume");
  return (await askKernel("resume", { pid })) as boolean;
}

function requireName(name: unknown, what: string): void {
  if (typeof name === "string" && name !== "") return;
  const shown = name === "" ? "empty" : `a value of type ${typeof name}`;
  throw new PerdureError("ARGUMENT_INVALID", `${what} is a text of at least one character, not ${shown}.`);
}
