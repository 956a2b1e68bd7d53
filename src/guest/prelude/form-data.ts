/** `FormData` (XMLHttpRequest Standard): an ordered list of names with text or files. */
import { Blob, blobBytes, File } from "./blob.ts";
import { toText, toWellFormed } from "./intrinsics.ts";

export type FormDataValue = string | File;
export type FormDataEntry = [name: string, value: FormDataValue];

export class FormData {
  #entries: FormDataEntry[] = [];

  constructor(form?: undefined) {
    if (form !== undefined) throw new TypeError("FormData takes no form: there are no documents in the sandbox.");
  }

  /** A Blob becomes a File named `fileName`, or "blob". */
  append(name: string, value: string | Blob, fileName?: string): void {
    this.#entries.push(entry(name, value, fileName));
  }

  set(name: string, value: string | Blob, fileName?: string): void {
    const replacement = entry(name, value, fileName);
    const first = this.#entries.findIndex(([other]) => other === replacement[0]);
    if (first === -1) this.#entries.push(replacement);
    else {
      this.#entries = this.#entries.flatMap((old, index) =>
        index === first ? [replacement] : old[0] === replacement[0] ? [] : [old],
      );
    }
  }

  delete(name: string): void {
    const wanted = toWellFormed(toText(name));
    this.#entries = this.#entries.filter(([other]) => other !== wanted);
  }

  get(name: string): FormDataValue | null {
    return this.getAll(name)[0] ?? null;
  }

  getAll(name: string): FormDataValue[] {
    const wanted = toWellFormed(toText(name));
    return this.#entries.filter(([other]) => other === wanted).map(([, value]) => value);
  }

  has(name: string): boolean {
    const wanted = toWellFormed(toText(name));
    return this.#entries.some(([other]) => other === wanted);
  }

  forEach(callback: (value: FormDataValue, name: string, form: FormData) => void, thisArgument?: unknown): void {
    for (const [name, value] of this) callback.call(thisArgument, value, name, this);
  }

  *entries(): Generator<FormDataEntry, undefined, void> {
    for (let index = 0; index < this.#entries.length; index++) {
      const [name, value] = this.#entries[index]!;
      yield [name, value];
    }
  }

  *keys(): Generator<string, undefined, void> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): Generator<FormDataValue, undefined, void> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): Generator<FormDataEntry, undefined, void> {
    return this.entries();
  }
}

function entry(name: string, value: string | Blob, fileName: string | undefined): FormDataEntry {
  const key = toWellFormed(toText(name));
  if (!(value instanceof Blob)) {
    if (fileName !== undefined) throw new TypeError("Only a Blob can have a file name.");
    return [key, toWellFormed(toText(value))];
  }
  if (value instanceof File && fileName === undefined) return [key, value];
  const options = { type: value.type, ...(value instanceof File ? { lastModified: value.lastModified } : {}) };
  return [key, new File([blobBytes(value)], fileName === undefined ? "blob" : String(fileName), options)];
}
