/**
 * The export section of a WebAssembly binary. The engine's has 450 entries, of which we use some 40; V8 makes an object of
 * each for every instance, which is most of what an instance costs to make.
 */

const exportSection = 7;
const headerBytes = 8;

/** The binary with only these exports. Names it has not are passed over. */
export function keepExports(binary: Uint8Array, names: readonly string[]): Uint8Array {
  const wanted = new Set(names);
  const parts: Uint8Array[] = [binary.subarray(0, headerBytes)];
  for (let at = headerBytes; at < binary.length;) {
    const size = readNumber(binary, at + 1);
    const end = size.end + size.value;
    const isExports = binary[at] === exportSection;
    parts.push(isExports ? filtered(binary.subarray(size.end, end), wanted) : binary.subarray(at, end));
    at = end;
  }
  return Buffer.concat(parts);
}

/** A vector of entries: a name, a kind (a byte) and an index. */
function filtered(section: Uint8Array, wanted: ReadonlySet<string>): Uint8Array {
  const total = readNumber(section, 0);
  const kept: Uint8Array[] = [];
  for (let entry = 0, at = total.end; entry < total.value; entry++) {
    const length = readNumber(section, at);
    const nameEnd = length.end + length.value;
    const { end } = readNumber(section, nameEnd + 1);
    if (wanted.has(Buffer.from(section.subarray(length.end, nameEnd)).toString("utf8")))
      kept.push(section.subarray(at, end));
    at = end;
  }
  const body = Buffer.concat([numberBytes(kept.length), ...kept]);
  return Buffer.concat([Uint8Array.of(exportSection), numberBytes(body.length), body]);
}

/** Unsigned LEB128: seven bits a byte, lowest first. */
function readNumber(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let at = start, shift = 0; ; at++, shift += 7) {
    const byte = bytes[at] ?? 0;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return { value: value >>> 0, end: at + 1 };
  }
}

function numberBytes(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}
