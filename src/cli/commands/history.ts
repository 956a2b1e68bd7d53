/** `perdure history`: what came into a process and what went out, turn by turn. */
import type { Command } from "commander";
import { turnView } from "../../engine/views.ts";
import type { TurnView } from "../../engine/views.ts";
import type { ProcessKey, StoreReader } from "../../store/port.ts";
import { act, defineCommand, wholeNumber } from "../context.ts";
import type { Context } from "../context.ts";
import { locate, withReader } from "../reader.ts";
import { cut, oneLine } from "../text.ts";
import { formatTimeExactly } from "../time.ts";
import { describeCommand, describeDropped, describeInput, gapText, OperationNames, turnDocument } from "../turns.ts";

interface HistoryOptions {
  readonly from: number;
  readonly limit: number;
  readonly full?: boolean;
}

const defaultLimit = 1000;
const pageTurns = 500;
/** Operations are numbered by counting from the first turn; before this turn that takes no time worth mentioning. */
const maxCountedTurns = 20_000;
/** Where there is no terminal to ask. */
const defaultWidth = 100;

export function historyCommand(): Command {
  const command = defineCommand("history", "Shows a process's turns: what came in (←) and what went out (→).", [
    "perdure history order-7",
    "perdure history order-7 --from 100 --limit 10 --full",
  ])
    .argument("<pid>", "the process")
    .option("--from <turn>", "the first turn to show", wholeNumber("--from", 1), 1)
    .option("--limit <number>", "at most so many turns", wholeNumber("--limit", 1), defaultLimit)
    .option("--full", "do not shorten values");
  return act<HistoryOptions>(command, async (context, [pid = ""], options) => {
    await withReader(context, async (reader) => {
      const { key } = await locate(reader, pid);
      if (context.json) await printJson(context, reader, key, options);
      else await printTurns(context, reader, key, options);
    });
  });
}

async function printJson(
  { terminal }: Context,
  reader: StoreReader,
  process: ProcessKey,
  { from, limit }: HistoryOptions,
): Promise<void> {
  for await (const turn of eachTurn(reader, process, from, limit)) terminal.print(JSON.stringify(turnDocument(turn)));
}

async function printTurns(
  context: Context,
  reader: StoreReader,
  process: ProcessKey,
  { from, limit, full }: HistoryOptions,
): Promise<void> {
  const { terminal } = context;
  const width = full === true ? Infinity : (terminal.width ?? defaultWidth);
  const names = new OperationNames();
  const countFrom = from <= maxCountedTurns ? 1 : from;
  let beforeMs: number | undefined;
  for await (const turn of eachTurn(reader, process, countFrom, from - countFrom + limit)) {
    const numbers = countFrom === 1 ? names.add(turn) : [];
    if (turn.turn >= from) printTurn(context, turn, { width, numbers, names: names.byNumber, beforeMs });
    beforeMs = turn.timeMs;
  }
  const last = await reader.lastTurn(process);
  if (last === 0) return terminal.note("It has taken no turn yet.");
  if (last < from) return terminal.note(`It has taken ${last} turns only.`);
  if (last >= from + limit)
    terminal.note(
      terminal.err.dim(`Turns ${from} to ${from + limit - 1} of ${last}; go on with --from ${from + limit}.`),
    );
}

interface TurnStyle {
  readonly width: number;
  readonly numbers: readonly (number | undefined)[];
  readonly names: ReadonlyMap<number, string>;
  readonly beforeMs: number | undefined;
}

function printTurn({ terminal }: Context, turn: TurnView, { width, numbers, names, beforeMs }: TurnStyle): void {
  const { out } = terminal;
  terminal.print(
    `${out.bold(`turn ${turn.turn}`)}  ${out.dim(`${formatTimeExactly(turn.timeMs)}  ${gapText(turn.timeMs, beforeMs)}`.trimEnd())}`,
  );
  for (const input of turn.inputs) {
    const { what, value } = describeInput(input, names);
    const shown = cut(oneLine(value === "" ? what : `${what}  ${value}`), width - 4);
    terminal.print(
      `  ${out.green("←")} ${shown.startsWith(what) ? `${what}${out.dim(shown.slice(what.length))}` : shown}`,
    );
  }
  for (const [index, command] of turn.commands.entries()) {
    terminal.print(`  ${out.cyan("→")} ${cut(oneLine(describeCommand(command, numbers[index])), width - 4)}`);
  }
  for (const dropped of turn.dropped) {
    terminal.print(`  ${out.yellow("×")} ${cut(oneLine(describeDropped(dropped)), width - 4)}`);
  }
}

async function* eachTurn(
  reader: StoreReader,
  process: ProcessKey,
  from: number,
  limit: number,
): AsyncGenerator<TurnView> {
  for (let next = from; next < from + limit;) {
    const wanted = Math.min(pageTurns, from + limit - next);
    const turns = await reader.turns(process, next, wanted);
    for (const turn of turns) yield turnView(turn);
    if (turns.length < wanted) return;
    next += turns.length;
  }
}
