/** `perdure logs`: what programs printed. */
import type { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogView } from "../../engine/views.ts";
import type { LogRow, ProcessKey, ProcessRow, StoreReader } from "../../store/port.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { locate, withReader } from "../reader.ts";
import { createStacks } from "../stacks.ts";
import type { StackMapper } from "../../engine/stacks.ts";
import { formatTimeExactly } from "../time.ts";

interface LogsOptions {
  readonly follow?: boolean;
}

const pageRows = 500;
const lookEveryMs = 200;

export function logsCommand(): Command {
  const command = defineCommand("logs", "Prints what processes have printed.", [
    "perdure logs order-7",
    "perdure logs                              # of all processes",
    "perdure logs --follow",
  ])
    .argument("[pid]", "only this process")
    .option("-f, --follow", "go on as more is printed, until the process ends");
  return act<LogsOptions>(command, async (context, [pid], { follow }) => {
    await withReader(context, async (reader) => {
      const row = pid === undefined ? undefined : await locate(reader, pid);
      await new LogPrinter(context, reader, row).print(follow === true);
    });
  });
}

class LogPrinter {
  readonly #context: Context;
  readonly #reader: StoreReader;
  readonly #only: ProcessRow | undefined;
  readonly #processes = new Map<ProcessKey, ProcessRow>();
  #stacks: StackMapper | undefined;
  #after = 0;

  constructor(context: Context, reader: StoreReader, only: ProcessRow | undefined) {
    this.#context = context;
    this.#reader = reader;
    this.#only = only;
  }

  async print(follow: boolean): Promise<void> {
    for (;;) {
      // Asked before reading: what a process printed last is committed with its end.
      const isOver =
        !follow || (this.#only !== undefined && (await this.#reader.getProcess(this.#only.key))?.state === "exited");
      await this.#printNew();
      if (isOver) return;
      await sleep(lookEveryMs);
    }
  }

  async #printNew(): Promise<void> {
    for (;;) {
      const rows = await this.#reader.logs(this.#only?.key, this.#after, pageRows);
      for (const row of rows) await this.#printRow(row);
      this.#after = rows.at(-1)?.seq ?? this.#after;
      if (rows.length < pageRows) return;
    }
  }

  async #printRow(row: LogRow): Promise<void> {
    const { json, terminal } = this.#context;
    const { pid = "", program } = (await this.#processOf(row.process)) ?? {};
    const text = await this.#mapped(program, row.text);
    const { seq, turn, atMs, level } = row;
    if (json) return terminal.print(JSON.stringify({ seq, pid, turn, atMs, level, text } satisfies LogView));
    const { out } = terminal;
    const who = this.#only === undefined ? `${out.cyan(pid)} ` : "";
    const paint = level === "error" ? out.red : level === "warn" ? out.yellow : level === "debug" ? out.dim : String;
    const head = `${out.dim(formatTimeExactly(atMs))} ${who}`;
    for (const line of text.split("\n")) terminal.print(`${head}${paint(line)}`);
  }

  async #processOf(key: ProcessKey): Promise<ProcessRow | undefined> {
    const known = this.#processes.get(key) ?? (await this.#reader.getProcess(key));
    if (known !== undefined) this.#processes.set(key, known);
    return known;
  }

  async #mapped(program: string | undefined, text: string): Promise<string> {
    if (!text.includes("perdure:")) return text;
    this.#stacks ??= await createStacks(this.#reader);
    await this.#stacks.prepare(program);
    return this.#stacks.mapText(program, text);
  }
}
