/** `perdure prune`: removes finished processes from a store that no node owns. */
import type { Command } from "commander";
import { PerdureError } from "../../base/errors.ts";
import { ArchiveFolder } from "../../engine/archive/folder.ts";
import { keepPolicy } from "../../engine/keep.ts";
import { systemClock } from "../../engine/system.ts";
import { keepForever, prunesProcesses } from "../../kernel/keep.ts";
import type { KeepPolicy } from "../../kernel/keep.ts";
import { Retention } from "../../kernel/retention.ts";
import type { Store } from "../../store/port.ts";
import { shownPlace } from "../../store/place.ts";
import { claimed } from "../claimed.ts";
import { act, defineCommand, wholeNumber } from "../context.ts";
import type { Context } from "../context.ts";
import { exitCodes, usageError } from "../failure.ts";
import { aDuration, dueProcesses, policyOf } from "../keeping.ts";
import type { KeepOptions } from "../keeping.ts";
import { isNodeRunning, withReader } from "../reader.ts";
import { count } from "../text.ts";

interface PruneOptions extends KeepOptions {
  readonly dryRun?: boolean;
}

export function pruneCommand(): Command {
  const command = defineCommand(
    "prune",
    "Removes finished processes, their journals and logs, from a store that no node owns. What lives stays.",
    [
      "perdure prune --older-than 7d",
      "perdure prune --older-than 7d --failures 30d --dry-run",
      "perdure prune --keep 1000                 # the newest thousand finished ones",
      "perdure prune                             # by the configuration's keep",
    ],
  )
    .option("--older-than <duration>", "those that ended so long ago", aDuration)
    .option("--failures <duration>", "those that failed, so long ago", aDuration)
    .option("--keep <number>", "all but the newest so many", wholeNumber("--keep", 0))
    .option("--dry-run", "only say how many there are; beside a running node too");
  return act<PruneOptions>(command, async (context, _words, options) => {
    const policy = policyFor(context, options);
    return options.dryRun === true ? await countDue(context, policy) : await prune(context, policy);
  });
}

/** Options count for more than the configuration, which keeps saying how long tombstones and keys last. */
function policyFor({ config }: Context, options: KeepOptions): KeepPolicy {
  const configured = keepPolicy(config);
  const asked = policyOf(options);
  if (asked === undefined && !prunesProcesses(configured))
    throw usageError(
      "Nothing says what is to be pruned. Say it, such as: perdure prune --older-than 7d. Or set keep in the configuration.",
    );
  return asked === undefined
    ? configured
    : { ...asked, tombstonesMs: configured.tombstonesMs, keysMs: configured.keysMs };
}

async function countDue(context: Context, policy: KeepPolicy): Promise<void> {
  const { json, terminal } = context;
  const found = { processes: 0, held: 0 };
  await withReader(context, async (reader) => {
    for await (const { held } of dueProcesses(reader, policy, Date.now())) {
      if (held) found.held++;
      else found.processes++;
    }
  });
  if (json) return terminal.print(JSON.stringify({ dryRun: true, ...found }));
  const held =
    found.held === 0 ? "" : ` ${found.held} more would stay: they have dead letters, or are needed by others.`;
  terminal.note(`${count(found.processes, "process would be pruned", "processes would be pruned")}.${held}`);
}

async function prune(context: Context, policy: KeepPolicy): Promise<number> {
  await withReader(context, () => checkNoNode(context));
  return await claimed(context, {}, (store) => sweep(context, store, policy));
}

async function checkNoNode(context: Context): Promise<void> {
  if (!(await isNodeRunning(context))) return;
  throw new PerdureError(
    "STORE_IN_USE",
    `A node runs on the store ${shownPlace(context.store)}, and only the node can prune it. It does so by itself when the configuration says what to keep, such as keep: "7 days". Or stop it first; --dry-run works beside it.`,
    { details: { path: shownPlace(context.store) } },
  );
}

async function sweep(context: Context, store: Store, policy: KeepPolicy): Promise<number> {
  const { json, terminal, archive: folder } = context;
  const archive = folder === undefined ? undefined : new ArchiveFolder(folder, store, systemClock);
  const kept: { readonly pid: string; readonly reason: string }[] = [];
  const retention = new Retention({
    store,
    policy: { ...keepForever, ...policy },
    archive: archive === undefined ? undefined : (rows) => archive.add(rows),
    deployed: () => [],
    busy: () => false,
    writable: () => Promise.resolve(),
    kept: (pid, reason) => kept.push({ pid, reason }),
  });
  const { processes, tombstones, keys, programs } = await retention.sweep(Date.now());
  await archive?.close();
  if (json) terminal.print(JSON.stringify({ processes, tombstones, keys, programs, kept }));
  else {
    for (const { pid, reason } of kept)
      terminal.note(`perdure: ${pid === "" ? "something" : `process ${pid}`} is not pruned: ${reason}`);
    const parts = [
      count(processes, "process was pruned", "processes were pruned"),
      ...(tombstones === 0 ? [] : [count(tombstones, "tombstone was dropped", "tombstones were dropped")]),
      ...(keys === 0 ? [] : [count(keys, "key was forgotten", "keys were forgotten")]),
      ...(programs === 0
        ? []
        : [count(programs, "program nobody runs was removed", "programs nobody runs were removed")]),
    ];
    terminal.note(`${parts.join(", ")}.`);
  }
  return kept.length === 0 ? exitCodes.ok : exitCodes.failed;
}
