/**
 * A process's memory as a difference to its image: the 4 KiB pages that differ. Memory beyond the image's end counts as
 * differing wherever it is not zero.
 */
export const pageBytes = 4096;

/** What WebAssembly memory grows by. */
export const wasmPageBytes = 65_536;

/**
 * The lower half of the native stack (1 MiB, growing down, at the memory's beginning). The engine's own limit of 256 KiB
 * keeps everyone out of it, so it is neither compared nor copied.
 */
export const untouchedBytes: number = 512 * 1024;

export interface Delta {
  /** Size of the process's whole memory. It is part of the state: the allocator behaves otherwise in a larger one. */
  readonly sizeBytes: number;
  /** Page numbers, ascending. */
  readonly pages: Uint32Array;
  /** Their contents, one after the other. */
  readonly contents: Buffer;
}

const zeroPage = Buffer.alloc(pageBytes);

export function diff(memory: Buffer, image: Buffer): Delta {
  const found: number[] = [];
  for (let offset = untouchedBytes; offset < memory.length; offset += pageBytes) {
    const same =
      offset < image.length
        ? memory.compare(image, offset, offset + pageBytes, offset, offset + pageBytes) === 0
        : memory.compare(zeroPage, 0, pageBytes, offset, offset + pageBytes) === 0;
    if (!same) found.push(offset / pageBytes);
  }
  const contents = Buffer.allocUnsafeSlow(found.length * pageBytes);
  for (const [index, page] of found.entries()) {
    memory.copy(contents, index * pageBytes, page * pageBytes, (page + 1) * pageBytes);
  }
  return { sizeBytes: memory.length, pages: Uint32Array.from(found), contents };
}

/** Makes `memory`, which has the delta's size, hold what the delta was taken from. */
export function apply(memory: Buffer, image: Buffer, delta: Delta | undefined): void {
  image.copy(memory, untouchedBytes, untouchedBytes);
  if (memory.length > image.length) memory.fill(0, image.length);
  if (delta === undefined) return;
  for (const [index, page] of delta.pages.entries()) {
    delta.contents.copy(memory, page * pageBytes, index * pageBytes, (index + 1) * pageBytes);
  }
}
