/**
 * The decoder of the flat table that `value.ts` specifies: first an empty object for every node, then their members. It
 * checks whatever it reads and recurses nowhere.
 */
import {
  abs,
  AggregateErrorOf,
  BigIntOf,
  bufferLength,
  copyInto,
  DateOf,
  define,
  deleteProperty,
  errorConstructors,
  hasOwn,
  isArray,
  isInteger,
  isSafeInteger,
  mapSet,
  mapSize,
  MapOf,
  matches,
  ObjectOf,
  parse,
  RegExpOf,
  setAdd,
  setSize,
  SetOf,
  typedArrayBuffer,
  typedArrayLength,
  slice,
  Uint8ArrayOf,
  viewConstructors,
} from "./intrinsics.ts";
import { corrupt } from "./limits.ts";
import { errorFields } from "./open.ts";

/** Read by index only: destructuring goes through an iterator that a program may have replaced. */
type Node = readonly unknown[];

/** `text` is what follows the `v`. Throws VALUE_CORRUPT. */
export function restore(text: string, chunks: readonly Uint8Array[]): unknown {
  let table: unknown;
  try {
    table = parse(text);
  } catch {
    throw corrupt("its table is not JSON");
  }
  if (!isArray(table) || table.length === 0) throw corrupt("its table is not a list");
  return new Restorer(table as Node, chunks).run();
}

class Restorer {
  private readonly table: Node;
  private readonly chunks: readonly Uint8Array[];
  private readonly objects: object[] = [];
  private chunkCount = 0;

  constructor(table: Node, chunks: readonly Uint8Array[]) {
    this.table = table;
    this.chunks = chunks;
  }

  run(): unknown {
    const { table, objects } = this;
    for (let id = 1; id < table.length; id++) objects[id] = this.shell(this.node(id), id);
    if (this.chunkCount !== this.chunks.length) throw corrupt("it has more chunks than its table refers to");
    for (let id = 1; id < table.length; id++) this.fill(objects[id] as object, table[id] as Node, id);
    return this.slot(table[0]);
  }

  private node(id: number): Node {
    const node = this.table[id];
    if (!isArray(node) || node.length === 0) throw corrupt(`node ${id} is not a list`);
    return node as Node;
  }

  private shell(node: Node, id: number): object {
    switch (node[0]) {
      case "a":
      case "s":
        return [];
      case "o":
        return {};
      case "m":
        return new MapOf();
      case "t":
        return new SetOf();
      case "e":
        return this.error(node, id);
      case "d":
        return this.date(node, id);
      case "r":
        return this.regExp(node, id);
      case "p":
        return this.boxed(node, id);
      case "b":
        return this.buffer(node, id);
      case "w":
        return this.view(node, id);
      default:
        throw corrupt(`node ${id} is of an unknown kind`);
    }
  }

  private fill(object: object, node: Node, id: number): void {
    switch (node[0]) {
      case "a":
        for (let i = 1; i < node.length; i++) define(object, i - 1, this.slot(node[i]), true);
        return;
      case "s":
        this.fillSparse(object as unknown[], node, id);
        return;
      case "o":
        this.fillFields(object, node, 1, id);
        return;
      case "e":
        this.fillFields(object, node, 2, id);
        return;
      case "m":
        if (node.length % 2 === 0) throw corrupt(`node ${id} has a key without a value`);
        for (let i = 1; i < node.length; i += 2) {
          mapSet(object as Map<unknown, unknown>, this.slot(node[i]), this.slot(node[i + 1]));
        }
        if (mapSize(object) !== (node.length - 1) / 2) throw corrupt(`node ${id} repeats a key`);
        return;
      case "t":
        for (let i = 1; i < node.length; i++) setAdd(object as Set<unknown>, this.slot(node[i]));
        if (setSize(object) !== node.length - 1) throw corrupt(`node ${id} repeats an item`);
    }
  }

  private fillSparse(array: unknown[], node: Node, id: number): void {
    const length = node[1];
    if (!isInteger(length) || !((length as number) >= 0) || (length as number) > 2 ** 32 - 1) {
      throw corrupt(`node ${id} has no valid length`);
    }
    array.length = length as number;
    this.fillFields(array, node, 2, id);
    if (array.length !== length) throw corrupt(`node ${id} has an index beyond its length`);
  }

  private fillFields(object: object, node: Node, from: number, id: number): void {
    if ((node.length - from) % 2 !== 0) throw corrupt(`node ${id} has a key without a value`);
    for (let i = from; i < node.length; i += 2) {
      const key = node[i];
      const value = this.slot(node[i + 1]);
      const name = typeof key === "string" ? key : node[0] === "e" && isNatural(key) ? errorFields[key] : undefined;
      if (name === undefined) throw corrupt(`node ${id} has a key that is no name`);
      if (hasOwn(object, name)) throw corrupt(`node ${id} repeats a key`);
      if (typeof key === "number" && key < 3 && typeof value !== "string")
        throw corrupt(`node ${id} has no text for ${name}`);
      define(object, name, value, typeof key === "string");
    }
    if (node[0] === "e") completeStack(object);
  }

  private slot(slot: unknown): unknown {
    if (typeof slot !== "object" || slot === null) return slot;
    if (!isArray(slot)) throw corrupt("a slot of its table is neither a primitive nor a list");
    const mark: unknown = slot[0];
    if (slot.length === 2 && mark === "i") return bigInt(slot[1]);
    if (slot.length !== 1) throw corrupt("a slot of its table has a wrong length");
    if (typeof mark === "number") {
      const object = this.objects[mark];
      if (object === undefined) throw corrupt(`it refers to node ${mark}, which is not there`);
      return object;
    }
    switch (mark) {
      case "u":
        return undefined;
      case "n":
        return NaN;
      case "+":
        return Infinity;
      case "-":
        return -Infinity;
      case "z":
        return -0;
      default:
        throw corrupt("a slot of its table is of an unknown kind");
    }
  }

  private error(node: Node, id: number): Error {
    const kind = node[1];
    const constructor = typeof kind === "string" ? errorConstructors[kind] : undefined;
    if (constructor === undefined && kind !== "AggregateError") throw corrupt(`node ${id} is no known error`);
    const error = constructor === undefined ? new AggregateErrorOf([]) : new constructor();
    // Where it was decoded is of no interest: it gets the stack it was thrown with.
    deleteProperty(error, "stack");
    deleteProperty(error, "errors");
    return error;
  }

  private date(node: Node, id: number): Date {
    const timeMs = node[1];
    const valid = timeMs === null || (isInteger(timeMs) && abs(timeMs as number) <= 8.64e15);
    if (node.length !== 2 || !valid) throw corrupt(`node ${id} is no time`);
    return new DateOf((timeMs as number | null) ?? NaN);
  }

  private regExp(node: Node, id: number): RegExp {
    const source = node[1];
    const flags = node[2];
    if (node.length !== 3 || typeof source !== "string" || typeof flags !== "string") {
      throw corrupt(`node ${id} is no regular expression`);
    }
    try {
      return new RegExpOf(source, flags);
    } catch {
      throw corrupt(`node ${id} is a regular expression that this engine does not accept`);
    }
  }

  private boxed(node: Node, id: number): object {
    const value = node.length === 2 && !isReference(node[1]) ? this.slot(node[1]) : undefined;
    if (value === undefined || value === null) throw corrupt(`node ${id} boxes no primitive`);
    return ObjectOf(value) as object;
  }

  private buffer(node: Node, id: number): ArrayBuffer {
    const chunk = this.chunks[this.chunkCount++];
    if (chunk === undefined) throw corrupt(`the bytes of node ${id} are missing`);
    const length = typedArrayLength(chunk);
    if (node.length !== 2 || node[1] !== length)
      throw corrupt(`node ${id} has another length than its ${length} bytes`);
    // A copy, because whoever handed the payload in may keep it.
    const copy = new Uint8ArrayOf(length);
    copyInto(copy, chunk);
    return typedArrayBuffer(copy) as ArrayBuffer;
  }

  private view(node: Node, id: number): object {
    const kind = node[1];
    const bufferId = node[2];
    const offset = node[3];
    const length = node[4];
    const constructor = typeof kind === "string" ? viewConstructors[kind] : undefined;
    if (node.length !== 5 || constructor === undefined) throw corrupt(`node ${id} is no known view`);
    const isBuffer = typeof bufferId === "number" && (this.table[bufferId] as Node | undefined)?.[0] === "b";
    const buffer = isBuffer ? (this.objects[bufferId] as ArrayBuffer | undefined) : undefined;
    if (buffer === undefined) throw corrupt(`node ${id} refers to no buffer before it`);
    const unitBytes = constructor.BYTES_PER_ELEMENT ?? 1;
    const valid =
      isNatural(offset) &&
      isNatural(length) &&
      offset % unitBytes === 0 &&
      offset + length * unitBytes <= bufferLength(buffer);
    if (!valid) throw corrupt(`node ${id} reaches beyond its buffer`);
    return new constructor(buffer, offset, length);
  }
}

/** In V8 a stack begins with the error's title, in QuickJS with its first frame; a reader expects what his engine does. */
const stacksHaveTitles: boolean = matches(/^Error: x/, new Error("x").stack ?? "") !== null;

function completeStack(error: { name?: unknown; message?: unknown; stack?: unknown }): void {
  const { name, message, stack } = error;
  const isMissing = !hasOwn(error, "stack");
  const bare = stacksHaveTitles && typeof stack === "string" ? matches(/^(\s+at [^]*?)\n?$/, stack) : null;
  if (!isMissing && bare === null) return;
  const kind = typeof name === "string" ? name : "Error";
  const title = typeof message === "string" && message !== "" ? `${kind}: ${message}` : kind;
  define(error, "stack", bare === null ? title : `${title}\n${(bare as RegExpExecArray)[1]}`, false);
}

function isReference(slot: unknown): boolean {
  return isArray(slot) && typeof slot[0] === "number";
}

function isNatural(value: unknown): value is number {
  return isSafeInteger(value) && (value as number) >= 0;
}

const hexDigits = /^-?[0-9a-f]+$/;

function bigInt(digits: unknown): bigint {
  if (typeof digits !== "string" || matches(hexDigits, digits) === null)
    throw corrupt("a BigInt of its table has no digits");
  return digits[0] === "-" ? -BigIntOf(`0x${slice(digits, 1)}`) : BigIntOf(`0x${digits}`);
}
