import { PerdureError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { issueOperation } from "./runtime.ts";

/** Asks the kernel of this process's node. The answer is an input of a later turn, and comes at once. */
export async function askKernel(name: string, options: object, args: readonly unknown[] = []): Promise<unknown> {
  try {
    return await issueOperation(`perdure:${name}`, args, JSON.stringify(options), true).promise;
  } catch (error) {
    throw revived(error);
  }
}

/** An error of Perdure's own, again as one: crossing the border makes it a plain Error with the same fields. */
export function revived(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof PerdureError || error.name !== "PerdureError") return error;
  const { code, details, cause } = error as Error & { code?: ErrorCode; details?: Record<string, unknown> };
  if (typeof code !== "string") return error;
  return new PerdureError(code, error.message, { cause, ...(details === undefined ? {} : { details }) });
}
