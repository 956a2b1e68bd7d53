import { issueOperation } from "./runtime.ts";

/**
 * What a function of a `"use host"` module becomes inside the sandbox: calling it is an operation. The promise settles
 * with what the host function returned or threw, once, whatever happens to nodes in between.
 */
export function operation(name: string): (...args: unknown[]) => Promise<unknown> {
  // Operations of Perdure's own are asked for by its own functions, which know their rules.
  if (name.startsWith("perdure:")) throw new TypeError(`${name} is no operation of a program's.`);
  const stub = (...args: unknown[]): Promise<unknown> => {
    try {
      return issueOperation(name, args).promise;
    } catch (error) {
      // An async function rejects; it does not throw. That holds for its stand-in too.
      return Promise.reject(error);
    }
  };
  Object.defineProperty(stub, "name", { value: name.slice(name.indexOf("#") + 1), configurable: true });
  return stub;
}
