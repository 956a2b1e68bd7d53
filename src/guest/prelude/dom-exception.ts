/** The engine's own DOMException, typed: the sandbox is compiled without the DOM's declarations. */
export interface DOMException extends Error {
  readonly code: number;
}

interface DOMExceptionConstructor {
  new (message?: string, name?: string): DOMException;
  readonly prototype: DOMException;
}

export const DOMException: DOMExceptionConstructor = (
  globalThis as unknown as { DOMException: DOMExceptionConstructor }
).DOMException;
