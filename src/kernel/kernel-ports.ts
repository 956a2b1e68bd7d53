/** What a kernel needs of the world around it. */
import type { Clock, Random } from "../base/ports.ts";
import type { Pid } from "../journal/types.ts";
import type { Machine, MachineEvents } from "../machine/port.ts";
import type { Lease, ProgramRow, Store } from "../store/port.ts";
import type { Traits } from "./fitting.ts";
import type { KeepPolicy } from "./keep.ts";
import type { KernelEvents, OperationReport, OperationRunner } from "./ports.ts";
import type { Archive } from "./retention.ts";

export interface KernelPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** Runs `fn` after the events that are already waiting. */
  readonly defer: (fn: () => void) => void;
  readonly machine: (events: MachineEvents) => Machine;
  readonly runner: (report: (reports: readonly OperationReport[]) => void) => OperationRunner;
  readonly events: KernelEvents;
  /** What the deployment gives a process that is spawned by another to read in `process.env`. */
  env(): Readonly<Record<string, string>>;
  /** The newest version that was deployed of this one's file. A child that is restarted begins with it. */
  newest(program: string): string;
  /** What is kept of finished processes. Default: everything, for ever. */
  readonly keep?: KeepPolicy;
  /** Programs that processes may be started with from now on: they are not pruned. Default none. */
  readonly deployed?: () => readonly string[];
  readonly archive?: Archive;
  /**
   * Where several nodes own the store: the shard that a new process begins in. Default: that of whoever spawns it, else where there is
   * room, as far as it may run there.
   */
  readonly place?: (birth: { readonly pid: Pid; readonly parent: Pid }) => number | undefined;
  /** Why processes of a program cannot run here, in a sentence. They are left as they are. Default: all can. */
  readonly refusal?: (program: string) => string | undefined;
  /** What this node is, as the store's table of nodes has it: it runs only what fits that. Default: it runs everything. */
  readonly traits?: Traits;
  /** Whether this node can offer all host operations of a program that it has not named. Default: it cannot. */
  readonly offers?: (program: ProgramRow) => Promise<boolean>;
  /** Of a store that was claimed already. Default: the kernel claims it. */
  readonly lease?: Lease;
  /** Nothing runs: the store is opened to be looked after. Default false. */
  readonly still?: boolean;
}
