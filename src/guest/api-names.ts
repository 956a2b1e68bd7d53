/**
 * What `import … from "perdure"` offers at run time: the exports of `api.ts`, without its types. The bundler cannot look into
 * the prelude, so it reads them here.
 */
export const apiNames = [
  "sleep",
  "receive",
  "send",
  "self",
  "signal",
  "CancelledError",
  "TimeoutError",
  "PerdureError",
] as const;
