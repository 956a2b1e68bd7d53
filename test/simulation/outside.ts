/**
 * The world outside, where operations take effect: what each of them did, how often it was begun, and whether that is what
 * the engine promises.
 */
import { decodeValue } from "../../src/base/value.ts";
import type { Pid } from "../../src/journal/types.ts";
import type { OperationRequest } from "../../src/kernel/ports.ts";
import { quarantineDeaths } from "../../src/kernel/attempts.ts";
import type { OperationRow } from "../../src/store/port.ts";
import type { FaultKind } from "./counts.ts";
import { uncertain } from "./program.ts";
import type { OperationStep } from "./program.ts";
import type { Timeline } from "./timeline.ts";

export interface OutsidePorts {
  /** What a process calls at that place of its program. */
  step(pid: Pid, site: number): OperationStep | undefined;
  readonly timeline: Timeline;
  complain(problem: string): void;
  count(kind: FaultKind): void;
  /** What transactions have left in the store. */
  fact(key: string): unknown;
  /** The operation's row as it is on the disk now. */
  row(process: number, number: number): OperationRow | undefined;
  /** Whether the node whose attempt this is has been declared dead: it does not know yet. Default: never. */
  isVoid?(token: string): boolean;
  /** Clocks of nodes differ. Default: they do not. */
  readonly isSkewed?: boolean;
}

/** One operation of one process, over all its attempts. */
export interface Deed {
  readonly pid: Pid;
  readonly number: number;
  readonly step: OperationStep;
  readonly occurrence: number;
  readonly idempotencyKey: string;
  dispatched: number;
  /** How often an at-most-once operation was begun. */
  begun: number;
  /** Tokens of its attempts that run now. */
  readonly running: Set<string>;
  /** Node deaths it was running at, since a person last let it go on. */
  deaths: number;
  /** All node deaths up to then. */
  forgivenDeaths: number;
  /** A person has mended what kills the node. */
  mended: boolean;
  /** How often it has happened outside. */
  effects: number;
  /** Results it gave, each as `ok text`. */
  readonly results: Set<string>;
  /** The node that was told of its result, by number; 0 if none was. */
  toldNode: number;
  /** That node was closed in good order: nobody may ask for it again. */
  isDone: boolean;
  /** A call of it was held up for longer than calls take: whoever asks what became of it asks too early. */
  isHeldUp: boolean;
}

const all = (): boolean => true;

/** What a transactional operation writes to. */
export function factOf(pid: Pid, number: number): string {
  return `${pid}/${number}`;
}

export class Outside {
  readonly #ports: OutsidePorts;
  readonly #deeds = new Map<string, Deed>();
  #nodeDeaths = 0;

  constructor(ports: OutsidePorts) {
    this.#ports = ports;
  }

  get deeds(): Iterable<Deed> {
    return this.#deeds.values();
  }

  find(pid: Pid, number: number): Deed | undefined {
    return this.#deeds.get(`${pid}/${number}`);
  }

  /** Whether it gave that result. Of one that went well it must have happened. */
  gave(pid: Pid, number: number, ok: boolean, text: string): boolean {
    const deed = this.find(pid, number);
    const isKept = this.#ports.fact(factOf(pid, number)) !== undefined;
    if (deed?.step.mode === "transactional") {
      if (isKept !== ok)
        this.#ports.complain(
          `operation ${number} of ${pid} ended, and its transaction was ${isKept ? "" : "not "}kept`,
        );
    } else if (ok && deed?.effects === 0)
      this.#ports.complain(`operation ${number} of ${pid} is said to have happened, and it has not`);
    return deed?.results.has(`${ok} ${text}`) ?? false;
  }

  /** An attempt has been asked for: it must be on record, and the same as ever. */
  dispatched(request: OperationRequest): Deed | undefined {
    const { complain } = this.#ports;
    const name = `operation ${request.number} of ${request.pid}`;
    // It may take up what others have taken over long since.
    if (this.#ports.isVoid?.(request.token) === true) return this.#deedOf(request);
    const row = this.#ports.row(request.process, request.number);
    if (row === undefined) {
      complain(`${name} was dispatched before its turn was durable, or after it was done with`);
      return undefined;
    }
    if (row.state === "quarantined") complain(`${name} was dispatched from quarantine`);
    if (row.attempt !== request.attempt)
      complain(`${name} was dispatched as attempt ${request.attempt} and is on record with ${row.attempt}`);
    if (row.args.text !== request.args.text)
      complain(`${name} was dispatched with other arguments than it has on record`);
    if (request.watched !== row.deaths > 0)
      complain(`${name} died ${row.deaths} times and is ${request.watched ? "" : "not "}watched`);
    const deed = this.#deedOf(request);
    if (deed === undefined) return undefined;
    deed.dispatched++;
    if (deed.idempotencyKey !== request.idempotencyKey)
      complain(`${name} changed its idempotency key from ${deed.idempotencyKey} to ${request.idempotencyKey}`);
    if (deed.running.size > 0) complain(`${name} was dispatched while an attempt of it was running`);
    if (deed.isDone) complain(`${name} was dispatched after a node that knew its result had been closed`);
    this.#checkDeaths(deed, row.deaths);
    return deed;
  }

  #deedOf(request: OperationRequest): Deed | undefined {
    const { pid, number, idempotencyKey } = request;
    const known = this.find(pid, number);
    if (known !== undefined) return known;
    const [site, occurrence] = decodeValue(request.args) as [number, number];
    const step = this.#ports.step(pid, site);
    if (step === undefined) {
      this.#ports.complain(`operation ${number} of ${pid} is none of its program: ${request.args.text}`);
      return undefined;
    }
    const deed: Deed = {
      pid,
      number,
      step,
      occurrence,
      idempotencyKey,
      dispatched: 0,
      begun: 0,
      running: new Set(),
      deaths: 0,
      forgivenDeaths: 0,
      effects: 0,
      mended: false,
      results: new Set(),
      toldNode: 0,
      isDone: false,
      isHeldUp: false,
    };
    this.#deeds.set(`${pid}/${number}`, deed);
    return deed;
  }

  /** Deaths it was running at count, others may: whoever only queued must not be told from the killer at once. */
  #checkDeaths(deed: Deed, counted: number): void {
    const name = `operation ${deed.number} of ${deed.pid}`;
    // By a clock that was set back, what ran seems to have waited for its time.
    if (counted < deed.deaths && !this.#ports.timeline.jumpedBack && this.#ports.isSkewed !== true)
      this.#ports.complain(`${name} was running at ${deed.deaths} node deaths, and ${counted} are counted`);
    const most = this.#nodeDeaths - deed.forgivenDeaths;
    if (counted > most) this.#ports.complain(`${name} has ${counted} deaths counted, and the node died ${most} times`);
    if (counted >= quarantineDeaths) this.#ports.complain(`${name} was dispatched after ${counted} deaths`);
  }

  /** Its function is called. */
  begins(deed: Deed, token: string): void {
    if (this.#ports.isVoid?.(token) !== true) deed.running.add(token);
    if (deed.step.mode === "at-most-once" && ++deed.begun > 1) {
      this.#ports.complain(`operation ${deed.number} of ${deed.pid} is at-most-once and was begun ${deed.begun} times`);
    }
  }

  /** It happens. Some of those outside know by its key that it has happened before. */
  takesEffect(deed: Deed): void {
    const { step, number, pid } = deed;
    if (step.deduplicates && deed.effects > 0) return this.#ports.count("outside was called again with a key");
    deed.effects++;
    // The wait before the outside is asked is one by the wall clock.
    const isEarly = this.#ports.timeline.jumped || this.#ports.isSkewed === true || deed.isHeldUp;
    const mayRepeat = step.mode === "at-least-once" || (step.mode === "reconciled" && isEarly);
    if (deed.effects > 1 && !mayRepeat)
      this.#ports.complain(`operation ${number} of ${pid} (${step.mode}) has happened ${deed.effects} times`);
    if (deed.effects > 1) this.#ports.count("operation happened again");
  }

  /** The process is told that nobody knows. */
  isUncertain(deed: Deed, { doubt }: OperationRequest): void {
    const { step, number, pid } = deed;
    if (step.mode !== "at-most-once")
      this.#ports.complain(`operation ${number} of ${pid} (${step.mode}) is said to be uncertain`);
    if (doubt === "none" && deed.begun === 0)
      this.#ports.complain(`operation ${number} of ${pid} is said to be uncertain, and it was never begun`);
    deed.results.add(`false ${uncertain}`);
    this.#ports.count("operation's fate uncertain");
  }

  gives(deed: Deed, ok: boolean, text: string): void {
    deed.results.add(`${ok} ${text}`);
  }

  /** The node died, or gave up. `isOf`: which attempts were its own; default all. */
  nodeDied(isOf: (token: string) => boolean = all): void {
    this.#nodeDeaths++;
    for (const deed of this.#deeds.values()) {
      const own = [...deed.running].filter(isOf);
      if (own.length > 0) {
        this.#ports.count("operation under way at the death of its node");
        deed.deaths++;
      }
      for (const token of own) deed.running.delete(token);
    }
  }

  /** The node was closed in good order: what ran was told to stop. */
  nodeClosed(node: number, isOf: (token: string) => boolean = all): void {
    for (const deed of this.#deeds.values()) {
      for (const token of [...deed.running].filter(isOf)) deed.running.delete(token);
      if (deed.toldNode === node) deed.isDone = true;
    }
  }

  /** A person looked at a quarantined operation, and lets it go on. */
  mend(deed: Deed): void {
    deed.deaths = 0;
    deed.forgivenDeaths = this.#nodeDeaths;
    deed.mended = true;
  }
}
