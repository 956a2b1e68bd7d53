/** Punycode (RFC 3492), for the labels of domains that are not ASCII. */
const base = 36;
const tMin = 1;
const tMax = 26;
const skew = 38;
const damp = 700;
const initialBias = 72;
const initialCodePoint = 128;
const maxInt = 0x7fffffff;

/** Encodes a label, without "xn--". Undefined if it is too long for the algorithm's 31 bits. */
export function punycodeEncode(label: string): string | undefined {
  const codePoints = Array.from(label, (character) => character.codePointAt(0)!);
  const basic = codePoints.filter((codePoint) => codePoint < initialCodePoint);
  let output = String.fromCharCode(...basic) + (basic.length > 0 ? "-" : "");
  let next = initialCodePoint;
  let delta = 0;
  let bias = initialBias;
  let handled = basic.length;
  while (handled < codePoints.length) {
    const smallest = Math.min(...codePoints.filter((codePoint) => codePoint >= next));
    delta += (smallest - next) * (handled + 1);
    if (delta > maxInt) return undefined;
    next = smallest;
    for (const codePoint of codePoints) {
      if (codePoint < next) delta++;
      if (codePoint !== next) continue;
      output += encodeNumber(delta, bias);
      bias = adapt(delta, handled + 1, handled === basic.length);
      delta = 0;
      handled++;
    }
    delta++;
    next++;
  }
  return output;
}

/** Decodes a label, without "xn--". Undefined if it is malformed. */
export function punycodeDecode(text: string): string | undefined {
  const delimiter = text.lastIndexOf("-");
  const output = Array.from(text.slice(0, Math.max(0, delimiter)), (character) => character.charCodeAt(0));
  if (output.some((codePoint) => codePoint >= initialCodePoint)) return undefined;
  let codePoint = initialCodePoint;
  let position = 0;
  let bias = initialBias;
  let index = delimiter + 1;
  while (index < text.length) {
    const start = position;
    for (let weight = 1, k = base; ; k += base) {
      const digit = digitOf(text.charCodeAt(index++));
      if (digit === undefined) return undefined;
      position += digit * weight;
      if (position > maxInt) return undefined;
      const threshold = thresholdAt(k, bias);
      if (digit < threshold) break;
      weight *= base - threshold;
    }
    const length = output.length + 1;
    bias = adapt(position - start, length, start === 0);
    codePoint += Math.floor(position / length);
    if (codePoint > 0x10ffff) return undefined;
    position %= length;
    output.splice(position++, 0, codePoint);
  }
  return String.fromCodePoint(...output);
}

function encodeNumber(delta: number, bias: number): string {
  let rest = delta;
  let output = "";
  for (let k = base; ; k += base) {
    const threshold = thresholdAt(k, bias);
    if (rest < threshold) return output + digitText(rest);
    output += digitText(threshold + ((rest - threshold) % (base - threshold)));
    rest = Math.floor((rest - threshold) / (base - threshold));
  }
}

/** 0 to 25 are letters, 26 to 35 digits. */
function digitText(digit: number): string {
  return String.fromCharCode(digit < 26 ? digit + 97 : digit + 22);
}

function digitOf(code: number): number | undefined {
  if (code >= 48 && code <= 57) return code - 22;
  if (code >= 65 && code <= 90) return code - 65;
  return code >= 97 && code <= 122 ? code - 97 : undefined;
}

function thresholdAt(k: number, bias: number): number {
  return Math.min(tMax, Math.max(tMin, k - bias));
}

function adapt(delta: number, length: number, first: boolean): number {
  let rest = first ? Math.floor(delta / damp) : delta >> 1;
  rest += Math.floor(rest / length);
  let k = 0;
  for (; rest > ((base - tMin) * tMax) >> 1; k += base) rest = Math.floor(rest / (base - tMin));
  return k + Math.floor(((base - tMin + 1) * rest) / (rest + skew));
}
