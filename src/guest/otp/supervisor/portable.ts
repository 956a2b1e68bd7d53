/** Specifications without functions, so that they can be sent: a program's own are written with functions and classes. */
import { entryNamed, entryOf } from "../../entries.ts";
import { isPlainObject } from "../../plain.ts";
import { SupervisorSpecification } from "./types.ts";

/** The entry behind supervisors whose flags are their argument. */
export const supervisorEntry = "perdure:supervisor";

/** Functions become names, at every level. What is wrong with the rest is found where it is used. */
export function portableChild(spec: unknown): unknown {
  if (!isPlainObject(spec)) return spec;
  const portable: Record<string, unknown> = { ...spec };
  if ("start" in spec) portable["start"] = portableStart(spec["start"]);
  if ("supervisor" in spec) portable["supervisor"] = portableSupervisor(spec["supervisor"]);
  return portable;
}

function portableStart(start: unknown): unknown {
  if (!Array.isArray(start)) return start;
  const [first, ...args] = start as unknown[];
  return { entry: entryOf(first), args };
}

function portableSupervisor(given: unknown): unknown {
  if (Array.isArray(given)) return portableStart(given);
  if (given instanceof SupervisorSpecification) return startOf(given);
  return isPlainObject(given) && !("entry" in given) ? portableFlags(given) : given;
}

export function portableFlags(flags: unknown): unknown {
  if (!isPlainObject(flags)) return flags;
  const portable: Record<string, unknown> = { ...flags };
  if (Array.isArray(flags["children"])) portable["children"] = flags["children"].map(portableChild);
  if ("template" in flags) portable["template"] = portableChild(flags["template"]);
  return portable;
}

/** How a supervisor is started: by name if it is exported, else by its flags. */
export function startOf(specification: SupervisorSpecification): { entry: string; args: readonly unknown[] } {
  const entry = entryNamed(specification);
  return entry === undefined
    ? { entry: supervisorEntry, args: [portableFlags(specification.flags)] }
    : { entry, args: [] };
}
