/** The part of WebAssembly's JavaScript interface that the machine uses; Node has it, its type package leaves it to the DOM's. */
declare namespace WebAssembly {
  type ImportValue = unknown;
  type Imports = Record<string, Record<string, ImportValue>>;

  class Module {
    constructor(bytes: Uint8Array);
    static exports(module: Module): { name: string; kind: string }[];
  }
  class Instance {
    constructor(module: Module, imports: Imports);
    readonly exports: Record<string, unknown>;
  }
  class RuntimeError extends Error {}
  interface Memory {
    readonly buffer: ArrayBuffer;
    /** In pages of 64 KiB. */
    grow(pages: number): number;
  }
  interface Global {
    value: unknown;
  }
  /** An import that may suspend the WebAssembly stack below it by returning a promise. */
  class Suspending {
    constructor(fn: (...args: never[]) => unknown);
  }
  /** An export that runs on a stack of its own and may be suspended. */
  const promising:
    | (<F extends (...args: never[]) => unknown>(fn: F) => (...args: Parameters<F>) => Promise<ReturnType<F>>)
    | undefined;
}
