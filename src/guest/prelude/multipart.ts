/** `multipart/form-data` (RFC 7578, as HTML writes it), from a FormData and back. */
import { blobBytes, File } from "./blob.ts";
import { FormData } from "./form-data.ts";
import { concatBytes, subarray } from "./intrinsics.ts";
import { fillRandom, toHex } from "./random.ts";
import { decodeUtf8 } from "./text-decoder.ts";
import { encodeUtf8 } from "./text-encoder.ts";

/** From the process's seed: a replay of the request has the same bytes. */
export function newBoundary(): string {
  const bytes = new Uint8Array(16);
  fillRandom(bytes);
  return `----PerdureFormBoundary${toHex(bytes)}`;
}

export function encodeMultipart(form: FormData, boundary: string): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, value] of form) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(withCrlf(name))}"`;
    if (typeof value === "string") {
      parts.push(encodeUtf8(`${head}\r\n\r\n${withCrlf(value)}\r\n`));
    } else {
      const type = value.type || "application/octet-stream";
      parts.push(encodeUtf8(`${head}; filename="${quoted(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`));
      parts.push(blobBytes(value), encodeUtf8("\r\n"));
    }
  }
  parts.push(encodeUtf8(`--${boundary}--\r\n`));
  return concatBytes(parts);
}

function withCrlf(text: string): string {
  return text.replace(/\r\n?|\n/g, "\r\n");
}

function quoted(text: string): string {
  return text.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");
}

/** Throws a TypeError at anything that is not well-formed. */
export function decodeMultipart(body: Uint8Array, boundary: string): FormData {
  const form = new FormData();
  const delimiter = encodeUtf8(`--${boundary}`);
  let position = indexOfBytes(body, delimiter, 0);
  if (position === -1) throw malformed(`its boundary ${JSON.stringify(boundary)} does not occur`);
  for (;;) {
    position += delimiter.length;
    if (body[position] === 0x2d && body[position + 1] === 0x2d) return form;
    const start = indexOfBytes(body, crlf, position) + crlf.length;
    const end = indexOfBytes(body, concatBytes([crlf, delimiter]), start - crlf.length);
    if (start < crlf.length || end === -1) throw malformed("a part has no end");
    addPart(form, subarray(body, start, end));
    position = end + crlf.length;
  }
}

const crlf = new Uint8Array([13, 10]);
const blankLine = new Uint8Array([13, 10, 13, 10]);

function addPart(form: FormData, part: Uint8Array): void {
  const headEnd = indexOfBytes(part, blankLine, 0);
  if (headEnd === -1) throw malformed("a part has no header");
  const head = decodeUtf8(subarray(part, 0, headEnd));
  const content = subarray(part, headEnd + blankLine.length);
  const disposition = /^content-disposition:\s*form-data\s*;(.*)$/im.exec(head)?.[1];
  const name = disposition === undefined ? undefined : parameter(disposition, "name");
  if (disposition === undefined || name === undefined) throw malformed("a part has no name");
  const fileName = parameter(disposition, "filename");
  if (fileName === undefined) form.append(name, decodeUtf8(content));
  else {
    const type = /^content-type:[ \t]*(.*?)[ \t]*$/im.exec(head)?.[1] ?? "text/plain";
    form.append(name, new File([content], fileName, { type }));
  }
}

function parameter(disposition: string, name: string): string | undefined {
  const found = new RegExp(`(?:^|;)\\s*${name}=(?:"([^"]*)"|([^\\s;"]+))`, "i").exec(disposition);
  const value = found?.[1] ?? found?.[2];
  return value?.replace(/%0a/gi, "\n").replace(/%0d/gi, "\r").replace(/%22/g, '"');
}

function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  const first = wanted[0]!;
  for (let start = bytes.indexOf(first, from); start !== -1; start = bytes.indexOf(first, start + 1)) {
    let length = 1;
    while (length < wanted.length && bytes[start + length] === wanted[length]) length++;
    if (length === wanted.length) return start;
  }
  return -1;
}

function malformed(why: string): TypeError {
  return new TypeError(`The body is not well-formed multipart/form-data: ${why}.`);
}
