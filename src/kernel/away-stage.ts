/** What a commit changes that concerns processes of other nodes. */
import type { Input } from "../journal/types.ts";
import type { AwayBatch, AwayLink, AwayMonitor, Notified, ProcessKey } from "../store/port.ts";

export class AwayStage {
  readonly #links = new Map<string, AwayLink>();
  readonly #monitors = new Map<string, AwayMonitor>();
  readonly cut: { process: ProcessKey; from: ProcessKey }[] = [];
  readonly refused: number[] = [];
  readonly notified: Notified[] = [];
  readonly moved: { process: ProcessKey; shard: number; input: Input }[] = [];
  readonly yielded: number[] = [];

  get empty(): boolean {
    const { cut, refused, notified, moved, yielded } = this;
    const lists = [cut, refused, notified, moved, yielded];
    return this.#links.size + this.#monitors.size === 0 && lists.every(({ length }) => length === 0);
  }

  link(link: AwayLink): void {
    this.#links.set(`${link.process} ${link.target}`, link);
  }

  unlink(process: ProcessKey, target: ProcessKey): void {
    this.#links.delete(`${process} ${target}`);
    this.cut.push({ process, from: target });
  }

  monitor(monitor: AwayMonitor): void {
    this.#monitors.set(`${monitor.watcher} ${monitor.number}`, monitor);
  }

  demonitor(watcher: ProcessKey, number: number): void {
    this.#monitors.delete(`${watcher} ${number}`);
  }

  toBatch(atMs: number): AwayBatch {
    const { cut, refused, notified, moved, yielded } = this;
    const [links, monitors] = [[...this.#links.values()], [...this.#monitors.values()]];
    return { atMs, links, monitors, cut, refused, notified, moved, yielded };
  }
}
