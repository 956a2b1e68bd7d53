"use host"; // runs in Node; each call from a program is an operation
import { operation, signal } from "perdure/host";

/** The page, or undefined if the server will not give it. A server in trouble is asked again, later. */
export const download = operation({ timeout: "10s", retry: { maxAttempts: 3 } }, async (url: string) => {
  const response = await fetch(url, { signal: signal() });
  if (response.status >= 500) throw new Error(`the server answers ${response.status}`);
  return response.ok ? await response.text() : undefined;
});
