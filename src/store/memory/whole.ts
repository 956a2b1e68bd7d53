/** A disk as the rows of a database, and back: what is put into tables elsewhere is made up here. */
import {
  decodeInput,
  decodePayload,
  decodeTurn,
  encodeInput,
  encodePayload,
  encodeTurn,
} from "../../journal/encoding.ts";
import { exitReasons } from "../../journal/types.ts";
import type { Input, Turn } from "../../journal/types.ts";
import type { Payload } from "../../base/value.ts";
import { checksum, edgeBody, operationIdentity, restoreBody, stoneChecksum, tieIdentity } from "../checksum.ts";
import { bytes, number, text, word } from "../columns.ts";
import { decodeExported, encodeExported } from "../exports-encoding.ts";
import type { PartName, PartRow } from "../migration/parts.ts";
import { isDamaged } from "../migration/rows.ts";
import { parts } from "../migration/parts.ts";
import type { EdgeRow, OperationRow, ProcessRow, TimerRow, Tombstone } from "../port.ts";
import { readLog, readProcess, readProgram, readTimer } from "../rows.ts";
import { newRecord } from "./disk.ts";
import type { MemoryDisk, ProcessRecord } from "./disk.ts";
import { linksOf, monitorsOf } from "./relations.ts";

interface Whole {
  /** In no order. */
  rows(disk: MemoryDisk): PartRow[];
  put(disk: MemoryDisk, row: PartRow): void;
}

const empty = new Uint8Array();
const fromHex = (digits: string): Uint8Array => new Uint8Array(Buffer.from(digits, "hex"));
const toHex = (row: PartRow, column: string): string => Buffer.from(bytes(row, column)).toString("hex");
const orUndefined = (row: PartRow, column: string): number | undefined =>
  row[column] === null ? undefined : number(row, column);

function each(disk: MemoryDisk, of: (record: ProcessRecord) => PartRow[]): PartRow[] {
  return [...disk.processes.values()].flatMap(of);
}

const process: Whole = {
  rows: (disk) =>
    each(disk, ({ row }) => [
      {
        key: row.key,
        pid: row.pid,
        program: disk.programs.has(row.program) ? row.program : "",
        shard: row.shard ?? null,
        entry: row.entry,
        args_digest: fromHex(row.argsDigest),
        state: row.state,
        problem: row.problem,
        started_at_ms: row.startedAtMs,
        parent: row.parent === "" ? null : row.parent,
        label: row.label,
        role: row.role,
        restarts: row.restarts,
        needs: row.needs,
        held: row.held ? 1 : 0,
        traps_exits: row.trapsExits ? 1 : 0,
        life: row.life,
        exited_at_ms: row.exit?.atMs ?? null,
        exit_reason: row.exit?.reason ?? null,
        exit_value: row.exit === undefined ? null : encodePayload(row.exit.value),
      },
    ]),
  put: (disk, { shard, ...row }) => {
    const read: ProcessRow = readProcess(shard === null || shard === undefined ? row : { ...row, shard });
    disk.keys.set(read.pid, read.key);
    disk.processes.set(read.key, newRecord(read));
  },
};

const damagedTurn = (key: number, turn: number): PartRow => {
  const crc = (checksum(empty, key, turn) + 1) % 2 ** 32;
  return { process: key, turn, at_ms: 0, crc, body: empty };
};

const journal: Whole = {
  rows: (disk) =>
    each(disk, ({ row: { key }, turns }) =>
      turns.map((turn, index) => {
        if (turn === undefined) return damagedTurn(key, index + 1);
        const body = encodeTurn(turn);
        return { process: key, turn: turn.number, at_ms: turn.timeMs, crc: checksum(body, key, turn.number), body };
      }),
    ),
  put: (disk, row) => {
    const turn: Turn | undefined = isBad("journal", row) ? undefined : decodeTurn(bytes(row, "body"));
    disk.record(number(row, "process")).turns[number(row, "turn") - 1] = turn;
  },
};

const operation: Whole = {
  rows: (disk) =>
    each(disk, ({ operations }) =>
      [...operations.values()].map((row) => {
        const args = encodePayload(row.args);
        return {
          process: row.process,
          number: row.number,
          name: row.name,
          state: row.state,
          attempt: row.attempt,
          not_before_ms: row.notBeforeMs,
          started_at_ms: row.startedAtMs,
          deaths: row.deaths,
          created_at_ms: row.createdAtMs,
          last_error: row.lastError,
          options: row.options,
          crc: checksum(args, row.process, row.number, operationIdentity(row)),
          args,
        };
      }),
    ),
  put: (disk, row) => {
    const read: OperationRow = {
      process: number(row, "process"),
      number: number(row, "number"),
      name: text(row, "name"),
      args: decodePayload(bytes(row, "args")),
      options: text(row, "options"),
      state: text(row, "state") as OperationRow["state"],
      attempt: number(row, "attempt"),
      notBeforeMs: number(row, "not_before_ms"),
      startedAtMs: number(row, "started_at_ms"),
      deaths: number(row, "deaths"),
      lastError: text(row, "last_error"),
      createdAtMs: number(row, "created_at_ms"),
    };
    disk.record(read.process).operations.set(read.number, read);
  },
};

const timer: Whole = {
  rows: (disk) =>
    each(disk, ({ timers }) =>
      [...timers.values()].map((row) => ({
        process: row.process,
        number: row.number,
        clock: row.clock,
        due_ms: row.dueMs,
      })),
    ),
  put: (disk, row) => {
    const read: TimerRow = readTimer(row);
    disk.record(read.process).timers.set(read.number, read);
  },
};

const inbox: Whole = {
  rows: (disk) =>
    [...disk.inbox.values()].map(({ seq, process: key, input, atMs, tie }) => {
      const body = encodeInput(input);
      const monitor =
        tie === undefined || input.kind === "exit" ? undefined : input.kind === "down" ? input.monitor : 0;
      const instead = disk.shared?.insteadOf(seq);
      const elseInput = instead === undefined ? null : encodeInput(instead.input);
      return {
        seq,
        process: key,
        at_ms: atMs,
        crc: checksum(body, key, 0, tieIdentity(tie, monitor)),
        input: body,
        tie: tie ?? null,
        monitor: monitor ?? null,
        else_process: instead?.process ?? null,
        else_crc: instead === undefined || elseInput === null ? null : checksum(elseInput, instead.process, 0),
        else_input: elseInput,
      };
    }),
  put: (disk, row) => {
    const [seq, key, atMs] = [number(row, "seq"), number(row, "process"), number(row, "at_ms")];
    const tie = orUndefined(row, "tie");
    const input: Input = decodeInput(bytes(row, "input"));
    disk.inbox.set(seq, { seq, process: key, input, atMs, ...(tie === undefined ? {} : { tie }) });
    const elseProcess = orUndefined(row, "else_process");
    if (elseProcess === undefined) return;
    disk.shared?.putInstead(seq, { process: elseProcess, input: decodeInput(bytes(row, "else_input")), atMs });
  },
};

const deadLetter: Whole = {
  rows: (disk) =>
    [...disk.deadLetters.values()].map(({ seq, process: key, input, atMs, reason, value }) => {
      const body = encodeInput(input);
      const about = { seq, process: key, at_ms: atMs, reason, value: encodePayload(value) };
      return { ...about, crc: checksum(body, key, 0), input: body };
    }),
  put: (disk, row) => {
    const [reason, value] = [word(row, "reason", exitReasons), decodePayload(bytes(row, "value"))];
    const [seq, key, atMs] = [number(row, "seq"), number(row, "process"), number(row, "at_ms")];
    disk.deadLetters.set(seq, { seq, process: key, input: decodeInput(bytes(row, "input")), atMs, reason, value });
  },
};

const edge: Whole = {
  rows: (disk) => {
    let id = 0;
    return each(disk, ({ edges }) =>
      [...edges.values()].map(({ row, posted }) => {
        const answer = row.answer === undefined ? undefined : encodePayload(row.answer);
        return {
          id: ++id,
          process: row.process,
          key: row.key,
          at_ms: row.atMs,
          digest: fromHex(row.digest),
          about: row.about,
          state: row.state,
          posted: posted ?? null,
          crc: checksum(edgeBody(row, answer), row.process, 0),
          answer: answer ?? null,
        };
      }),
    );
  },
  put: (disk, row) => {
    const answer: Payload | undefined = row["answer"] === null ? undefined : decodePayload(bytes(row, "answer"));
    const read: EdgeRow = {
      process: number(row, "process"),
      key: text(row, "key"),
      digest: toHex(row, "digest"),
      about: text(row, "about"),
      atMs: number(row, "at_ms"),
      state: text(row, "state") as EdgeRow["state"],
      answer,
    };
    disk.record(read.process).edges.set(read.key, { row: read, posted: orUndefined(row, "posted") });
  },
};

const tombstone: Whole = {
  rows: (disk) =>
    [...disk.tombstones.values()].map((stone) => {
      const { pid, program, entry, argsDigest, startedAtMs, prunedAtMs, valueBytes, exit } = stone;
      const about = { pid, program, entry, argsDigest, startedAtMs, prunedAtMs, valueBytes };
      const value = exit.value === undefined ? undefined : encodePayload(exit.value);
      return {
        pid,
        program,
        entry,
        args_digest: fromHex(argsDigest),
        started_at_ms: startedAtMs,
        exited_at_ms: exit.atMs,
        pruned_at_ms: prunedAtMs,
        exit_reason: exit.reason,
        value_bytes: valueBytes,
        crc: stoneChecksum({ ...about, exitedAtMs: exit.atMs, reason: exit.reason }, value),
        exit_value: value ?? null,
      };
    }),
  put: (disk, row) => {
    const stone: Tombstone = {
      pid: text(row, "pid"),
      program: text(row, "program"),
      entry: text(row, "entry"),
      argsDigest: toHex(row, "args_digest"),
      startedAtMs: number(row, "started_at_ms"),
      prunedAtMs: number(row, "pruned_at_ms"),
      valueBytes: number(row, "value_bytes"),
      exit: {
        atMs: number(row, "exited_at_ms"),
        reason: text(row, "exit_reason") as Tombstone["exit"]["reason"],
        value: row["exit_value"] === null ? undefined : decodePayload(bytes(row, "exit_value")),
      },
    };
    disk.tombstones.set(stone.pid, stone);
  },
};

const exported: Whole = {
  rows: (disk) =>
    [...disk.exported.values()].map((row, index) => {
      const body = encodeExported(row);
      const about = { id: index + 1, pid: row.pid, process: row.process, at_ms: row.exportedAtMs };
      return { ...about, crc: checksum(body, row.process, 0), body };
    }),
  put: (disk, row) => void disk.exported.set(text(row, "pid"), decodeExported(bytes(row, "body"))),
};

const lives: Record<"snapshot" | "checkpoint" | "checkpoint_tie" | "restore", Whole> = {
  snapshot: {
    rows: (disk) =>
      each(disk, ({ row: { key }, snapshots }) => snapshots.map(({ turn, body }) => ({ process: key, turn, body }))),
    put: (disk, row) => {
      const record = disk.record(number(row, "process"));
      const snapshot = { turn: number(row, "turn"), body: bytes(row, "body") };
      record.snapshots = [...record.snapshots, snapshot].sort((a, b) => b.turn - a.turn);
    },
  },
  checkpoint: {
    rows: (disk) =>
      each(disk, ({ row: { key }, checkpoint: found }) =>
        found === undefined
          ? []
          : [{ process: key, turn: found.turn, crc: checksum(found.body, key, found.turn), body: found.body }],
      ),
    put: (disk, row) => {
      disk.record(number(row, "process")).checkpoint = { turn: number(row, "turn"), body: bytes(row, "body") };
    },
  },
  checkpoint_tie: {
    rows: (disk) =>
      each(disk, ({ row: { key }, ties }) => [...new Set(ties)].map((target) => ({ process: key, target }))),
    put: (disk, row) => {
      const record = disk.record(number(row, "process"));
      record.ties = [...record.ties, number(row, "target")];
    },
  },
  restore: {
    rows: (disk) =>
      each(disk, ({ row: { key }, restores }) =>
        restores.map(({ turn, from }) => ({
          process: key,
          turn,
          from_turn: from,
          crc: checksum(restoreBody(from), key, turn),
        })),
      ),
    put: (disk, row) => {
      const record = disk.record(number(row, "process"));
      record.restores = [...record.restores, { turn: number(row, "turn"), from: number(row, "from_turn") }];
    },
  },
};

const relations: Record<"link" | "monitor" | "name" | "member", Whole> = {
  link: {
    rows: (disk) =>
      each(disk, ({ row: { key }, relations: own }) =>
        linksOf(own).flatMap((other) => (key < other ? [{ a: key, b: other }] : [])),
      ),
    put: (disk, row) => {
      const [a, b] = [number(row, "a"), number(row, "b")];
      disk.record(a).relations.links.add(b);
      disk.record(b).relations.links.add(a);
    },
  },
  monitor: {
    rows: (disk) => each(disk, ({ relations: own }) => monitorsOf(own).map((monitor) => ({ ...monitor }))),
    put: (disk, row) => {
      const monitor = { watcher: number(row, "watcher"), number: number(row, "number"), target: number(row, "target") };
      disk.record(monitor.watcher).relations.monitors.set(monitor.number, monitor);
      disk.record(monitor.target).relations.watchers.add(monitor);
    },
  },
  name: {
    rows: (disk) => [...disk.names].map(([name, key]) => ({ name, process: key })),
    put: (disk, row) => {
      const [name, key] = [text(row, "name"), number(row, "process")];
      disk.names.set(name, key);
      disk.record(key).relations.names.add(name);
    },
  },
  member: {
    rows: (disk) =>
      each(disk, ({ row: { key }, relations: own }) => [...own.groups].map((name) => ({ name, process: key }))),
    put: (disk, row) => void disk.record(number(row, "process")).relations.groups.add(text(row, "name")),
  },
};

export const wholes: Readonly<Record<PartName, Whole>> = {
  blob: {
    rows: (disk) => [...disk.blobs].map(([hash, body]) => ({ hash, bytes: body })),
    put: (disk, row) => void disk.blobs.set(text(row, "hash"), bytes(row, "bytes")),
  },
  program: {
    rows: (disk) =>
      [...disk.programs.values()].map(({ createdAtMs, sourceMap, operations, ...row }, index) => ({
        id: index + 1,
        ...row,
        operations: JSON.stringify(operations),
        created_at_ms: createdAtMs,
        source_map: sourceMap,
      })),
    put: (disk, row) => void disk.programs.set(text(row, "hash"), readProgram(row)),
  },
  process,
  journal,
  operation,
  timer,
  inbox,
  log: {
    rows: (disk) => disk.logs.map(({ atMs, ...row }) => ({ ...row, at_ms: atMs })),
    put: (disk, row) => void disk.logs.push(readLog(row)),
  },
  ...relations,
  ...lives,
  dead_letter: deadLetter,
  edge,
  tombstone,
  exported,
  imported: {
    rows: (disk) => [...disk.imported.values()].map(({ file, pid, atMs }) => ({ file, pid, at_ms: atMs })),
    put: (disk, row) => {
      const file = text(row, "file");
      disk.imported.set(file, { file, pid: text(row, "pid"), atMs: number(row, "at_ms") });
    },
  },
  // Of turns of pruned processes none come.
  remains: {
    rows: (disk) => [...disk.remains.keys()].map((key) => ({ process: key })),
    put: (disk, row) => void disk.remains.set(number(row, "process"), 0),
  },
};

function isBad(name: PartName, row: PartRow): boolean {
  const part = parts.find((each) => each.name === name);
  return part !== undefined && isDamaged(part, row);
}
