/**
 * How `console` shows values: like Node's `util.inspect`, with depth 4. Nothing is hidden silently: what is left out for
 * its length or depth says so.
 */
import { propertyName, quoteLines, wrap } from "./inspect-text.ts";
import { viewOf } from "./inspect-views.ts";
import type { Shower, View } from "./inspect-views.ts";

const customInspect = Symbol.for("nodejs.util.inspect.custom");
const maxStringLength = 10_000;
/** Past this, what is left of a value is cut short. */
const maxTextLength = 200_000;

/** `depth` is how many levels of objects are shown inside the outermost. */
export function inspect(value: unknown, depth = 4): string {
  return new Inspector(depth).show(value);
}

class Inspector implements Shower {
  readonly #depth: number;
  /** The objects being shown, from the outermost on. */
  readonly #path: object[] = [];
  /** Numbers of the objects that contain themselves. */
  readonly #circular = new Map<object, number>();
  #indentation = 0;
  #deepest = 0;
  #textLength = 0;

  constructor(depth: number) {
    this.#depth = depth;
  }

  get spent(): boolean {
    return this.#textLength > maxTextLength;
  }

  show(value: unknown): string {
    const text =
      (typeof value === "object" && value !== null) || typeof value === "function"
        ? this.#showObject(value)
        : this.#showPrimitive(value);
    this.#textLength += text.length;
    return text;
  }

  /** Shows what is inside the current object, two columns further to the right. */
  showInside(value: unknown): string {
    this.#indentation += 2;
    const text = this.show(value);
    this.#indentation -= 2;
    return text;
  }

  #showPrimitive(value: unknown): string {
    if (typeof value === "string") {
      const excess = value.length - maxStringLength;
      const shown = quoteLines(excess > 0 ? value.slice(0, maxStringLength) : value, this.#indentation);
      return excess > 0 ? `${shown}... ${excess} more character${excess > 1 ? "s" : ""}` : shown;
    }
    if (typeof value === "bigint") return `${value}n`;
    return Object.is(value, -0) ? "-0" : String(value);
  }

  #showObject(value: object): string {
    const custom = (value as Record<symbol, unknown>)[customInspect];
    if (typeof custom === "function") {
      const shown: unknown = custom.call(value, this.#depth - this.#path.length, {}, inspect);
      if (shown !== value) return typeof shown === "string" ? shown : this.show(shown);
    }
    if (this.#path.includes(value)) {
      const number = this.#circular.get(value) ?? this.#circular.size + 1;
      this.#circular.set(value, number);
      return `[Circular *${number}]`;
    }
    return this.#showFields(value);
  }

  #showFields(value: object): string {
    const level = this.#path.length;
    const view = viewOf(value, this.#indentation);
    if (view.entries === undefined && view.keys.length === 0)
      return view.base ?? view.prefix + (view.isList ? "[]" : "{}");
    if (level > this.#depth || this.spent) return view.base ?? `[${view.name}]`;
    this.#deepest = level;
    this.#path.push(value);
    const entries = this.#entries(value, view);
    this.#path.pop();
    const number = this.#circular.get(value);
    const mark = number === undefined ? "" : `<ref *${number}> `;
    return wrap(entries, {
      base: view.base === undefined ? "" : mark + view.base,
      open: (view.base === undefined ? mark + view.prefix : "") + (view.isList ? "[" : "{"),
      close: view.isList ? "]" : "}",
      indentation: this.#indentation,
      shallow: this.#deepest - level < 3,
      isList: view.isList,
    });
  }

  #entries(value: object, view: View): string[] {
    const entries = view.entries?.(this) ?? [];
    for (const key of view.keys) {
      if (this.spent) {
        entries.push("...");
        break;
      }
      const name = typeof key === "symbol" ? String(key) : view.hidden.includes(key) ? `[${key}]` : propertyName(key);
      entries.push(`${name}: ${this.#showField(value, key)}`);
    }
    return entries;
  }

  /** Getters are named, not run: looking at a value must not change it. */
  #showField(value: object, key: PropertyKey): string {
    const field = Object.getOwnPropertyDescriptor(value, key);
    if (field?.get !== undefined) return field.set === undefined ? "[Getter]" : "[Getter/Setter]";
    if (field?.set !== undefined) return "[Setter]";
    return this.showInside(field?.value);
  }
}
