/**
 * The general encoder: any graph of values into the flat table that `value.ts` specifies. It walks depth first with a
 * stack of its own, so that neither depth nor cycles matter.
 */
import { isPerdureError, PerdureError } from "../errors.ts";
import { pathStep, refuse, Uncloneable } from "./describe.ts";
import {
  bufferLength,
  copyInto,
  dataViewBuffer,
  dataViewLength,
  dataViewOffset,
  getPrototypeOf,
  hasOwn,
  isArray,
  mapDelete,
  mapGet,
  MapOf,
  mapSet,
  objectToString,
  stringify,
  typedArrayBuffer,
  typedArrayByteLength,
  typedArrayKind,
  typedArrayLength,
  typedArrayOffset,
  Uint8ArrayOf,
} from "./intrinsics.ts";
import { bytesTooLarge, maxChunkBytes, maxTextUnits, textTooLarge } from "./limits.ts";
import { brandOf, errorFields, isPlain, leafNode, openArray, openBuiltIn, openObject, primitiveSlot } from "./open.ts";
import type { Opened } from "./open.ts";

/** A node whose members are being written. */
interface Frame {
  readonly opened: Opened;
  readonly id: number;
  /** The node so far, without its closing bracket. */
  text: string;
  /** How many members have been begun. */
  begun: number;
  /** Where to go back to when the member begun last cannot be cloned; kept only where members may be dropped. */
  savepoint: Savepoint | undefined;
}

interface Savepoint {
  readonly text: string;
  readonly nodes: number;
  readonly chunks: number;
  readonly units: number;
  readonly bytes: number;
}

export interface Flat {
  readonly text: string;
  readonly chunks: readonly Uint8Array[];
}

/** Throws VALUE_NOT_CLONEABLE, VALUE_TOO_LARGE, and whatever the value's own getters throw. */
export function flatten(root: unknown): Flat {
  return new Flattener().run(root);
}

class Flattener {
  /** Nodes by id; node 0 is the root's slot. An object has its id from when it is met, its node when all of it is written. */
  private readonly nodes: string[] = [];
  private readonly objects: (object | undefined)[] = [];
  private readonly ids = new MapOf<object, number>();
  private readonly chunks: Uint8Array[] = [];
  private readonly stack: Frame[] = [];
  private nodeCount = 0;
  private depth = 0;
  private units = 0;
  private bytes = 0;

  run(root: unknown): Flat {
    this.begin(undefined, { shape: "root", head: "", keys: undefined, members: [root], count: 1, drops: false });
    while (this.depth > 0) {
      const frame = this.stack[this.depth - 1] as Frame;
      if (frame.begun < frame.opened.count) this.attempt(frame);
      else this.finish(frame);
    }
    let text = "v[";
    for (let id = 0; id < this.nodeCount; id++) text += id === 0 ? (this.nodes[id] as string) : `,${this.nodes[id]}`;
    return { text: `${text}]`, chunks: this.chunks };
  }

  private attempt(frame: Frame): void {
    if (frame.opened.drops) {
      const { nodeCount: nodes, units, bytes } = this;
      frame.savepoint = { text: frame.text, nodes, chunks: this.chunks.length, units, bytes };
    }
    try {
      this.step(frame);
    } catch (error) {
      // A value that is too large is refused as a whole; all else that goes wrong within a droppable member costs the member.
      if (!isPerdureError(error, "VALUE_TOO_LARGE") && this.drop()) return;
      throw error instanceof Uncloneable ? this.notCloneable(error) : error;
    }
  }

  private step(frame: Frame): void {
    const index = frame.begun++;
    const { keys, members } = frame.opened;
    if (keys === undefined) {
      this.append(frame, this.slot((members as readonly unknown[])[index]));
      return;
    }
    const key = keys[index] as string | number;
    const name = typeof key === "number" ? (errorFields[key] as string) : key;
    this.append(frame, stringify(key));
    this.append(frame, this.slot((members as Record<string, unknown>)[name]));
  }

  private append(frame: Frame, part: string): void {
    frame.text = frame.text === "" ? part : `${frame.text},${part}`;
    this.grow(part.length + 1);
  }

  private grow(units: number): void {
    this.units += units;
    if (this.units > maxTextUnits) throw textTooLarge();
  }

  private begin(object: object | undefined, opened: Opened): number {
    const id = this.register(object, "");
    this.grow(opened.head.length + 2);
    this.stack[this.depth++] = { opened, id, text: opened.head, begun: 0, savepoint: undefined };
    return id;
  }

  private finish(frame: Frame): void {
    this.nodes[frame.id] = frame.opened.shape === "root" ? frame.text : `${frame.text}]`;
    this.stack.length = --this.depth;
  }

  private register(object: object | undefined, node: string): number {
    const id = this.nodeCount++;
    this.nodes[id] = node;
    this.objects[id] = object;
    if (object !== undefined) mapSet(this.ids, object, id);
    this.grow(node.length + 1);
    return id;
  }

  /** Takes back the nearest droppable member under way. False if there is none. */
  private drop(): boolean {
    let depth = this.depth;
    while (depth > 0 && this.stack[depth - 1]?.savepoint === undefined) depth--;
    const frame = this.stack[depth - 1];
    if (frame?.savepoint === undefined) return false;
    const { text, nodes, chunks, units, bytes } = frame.savepoint;
    for (let id = nodes; id < this.nodeCount; id++) {
      const object = this.objects[id];
      if (object !== undefined) mapDelete(this.ids, object);
    }
    frame.text = text;
    this.stack.length = this.depth = depth;
    this.nodes.length = this.objects.length = this.nodeCount = nodes;
    this.chunks.length = chunks;
    this.units = units;
    this.bytes = bytes;
    return true;
  }

  private slot(value: unknown): string {
    const primitive = primitiveSlot(value);
    if (primitive !== undefined) return primitive;
    if (typeof value !== "object" || value === null) throw refuse(value);
    return `[${mapGet(this.ids, value) ?? this.reference(value)}]`;
  }

  private reference(object: object): number {
    if (isArray(object)) return this.begin(object, openArray(object));
    if (isPlain(object)) return this.begin(object, openObject(object));
    const brand = brandOf(object);
    if (brand === undefined) throw refuse(object);
    if (brand === "buffer") return this.buffer(object as ArrayBuffer);
    if (brand === "view") return this.view(object);
    const leaf = leafNode(object, brand);
    return leaf === undefined ? this.begin(object, openBuiltIn(object, brand)) : this.register(object, leaf);
  }

  private view(view: object): number {
    const kind = typedArrayKind(view);
    if (kind === undefined) {
      const node = `${this.known(dataViewBuffer(view))},${dataViewOffset(view)},${dataViewLength(view)}`;
      return this.register(view, `["w","DataView",${node}]`);
    }
    const buffer = typedArrayBuffer(view);
    const offset = typedArrayOffset(view);
    const length = typedArrayLength(view);
    if (hasOwn(getPrototypeOf(view) as object, "BYTES_PER_ELEMENT")) {
      return this.register(view, `["w","${kind}",${this.known(buffer)},${offset},${length}]`);
    }
    // A subclass. Node's Buffers mostly are slices of a pool whose other bytes are none of the value's business.
    const alone = this.bytesNode(undefined, buffer, offset, typedArrayByteLength(view));
    return this.register(view, `["w","${kind}",${alone},0,${length}]`);
  }

  private known(buffer: ArrayBufferLike): number {
    return mapGet(this.ids, buffer) ?? this.buffer(buffer);
  }

  private buffer(buffer: ArrayBufferLike): number {
    if (objectToString(buffer) === "[object SharedArrayBuffer]") throw refuse(buffer);
    return this.bytesNode(buffer, buffer, 0, bufferLength(buffer));
  }

  private bytesNode(object: object | undefined, buffer: ArrayBufferLike, offset: number, length: number): number {
    this.bytes += length;
    if (this.bytes > maxChunkBytes) throw bytesTooLarge(this.bytes);
    let source: Uint8Array;
    try {
      source = new Uint8ArrayOf(buffer, offset, length);
    } catch {
      throw new Uncloneable(
        "an ArrayBuffer that was transferred away",
        "Pass it before its transfer, or a copy of its bytes.",
      );
    }
    const copy = new Uint8ArrayOf(length);
    copyInto(copy, source);
    this.chunks[this.chunks.length] = copy;
    return this.register(object, `["b",${length}]`);
  }

  private notCloneable(refusal: Uncloneable): PerdureError {
    let path = "$";
    for (let i = 0; i < this.depth; i++) path += step(this.stack[i] as Frame);
    return new PerdureError(
      "VALUE_NOT_CLONEABLE",
      `A value cannot cross the sandbox's border: at ${path} is ${refusal.what}. ${refusal.advice}`,
      { details: { path } },
    );
  }
}

/** The step of a path that leads from a frame to the member begun last. */
function step({ opened, begun }: Frame): string {
  const index = begun - 1;
  const { shape, keys, members } = opened;
  if (shape === "root") return "";
  if (keys !== undefined) {
    const key = keys[index] as string | number;
    return pathStep(typeof key === "number" ? (errorFields[key] as string) : key);
  }
  if (shape === "array") return `[${index}]`;
  if (shape === "set") return `<item ${index}>`;
  const pair = index >> 1;
  if (index % 2 === 0) return `<key ${pair}>`;
  const key = (members as readonly unknown[])[index - 1];
  return typeof key === "string" || typeof key === "number" ? `.get(${stringify(key)})` : `<value ${pair}>`;
}
