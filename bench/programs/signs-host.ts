"use host";

import { signs } from "./signs.ts";

export async function sign(what: string, pid: string): Promise<void> {
  signs.on(what, pid);
}
