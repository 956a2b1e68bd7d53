import { issueOperation } from "./runtime.ts";
import { createWait } from "./wait.ts";

/**
 * What a function of a `"use host"` module becomes inside the sandbox: calling it is an operation. The promise settles
 * with what the host function returned or threw, once, whatever happens to nodes in between.
 */
export function operation(name: string): (...args: unknown[]) => Promise<unknown> {
  const stub = async (...args: unknown[]): Promise<unknown> => {
    const issued = issueOperation(name, args);
    const wait = createWait<unknown>(() => issued.abort(undefined));
    // After an abort both promises are settled; the issued one's rejection is then of no interest.
    issued.promise.then(wait.resolve, wait.reject);
    return wait.promise;
  };
  Object.defineProperty(stub, "name", { value: name.slice(name.indexOf("#") + 1), configurable: true });
  return stub;
}
