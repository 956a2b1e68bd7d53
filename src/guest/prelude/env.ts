/**
 * `process.env`: what the deployment lists, journaled with `start`. There is nothing else in `process`, so that packages
 * do not take the sandbox for Node.
 */
import { markImpure } from "../runtime.ts";

type Env = Record<string, string>;

const env: Env = { NODE_ENV: "production" };
let known = false;

/** Fills `process.env`. NODE_ENV is "production" unless `values` has it. */
export function setEnv(values: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(env)) delete env[name];
  Object.assign(env, { NODE_ENV: "production" }, values);
  known = true;
}

/** Before `start` the values are unknown: whoever looks at one differs between processes and has no place in the image. */
function look(): void {
  if (!known) markImpure();
}

const handler: ProxyHandler<Env> = {
  get(target, name, receiver) {
    look();
    return Reflect.get(target, name, receiver) as unknown;
  },
  has(target, name) {
    look();
    return Reflect.has(target, name);
  },
  set(target, name, value) {
    look();
    // As in Node, where an environment holds nothing but text.
    return Reflect.set(target, name, typeof name === "string" ? String(value) : value);
  },
  deleteProperty(target, name) {
    look();
    return Reflect.deleteProperty(target, name);
  },
  getOwnPropertyDescriptor(target, name) {
    look();
    return Reflect.getOwnPropertyDescriptor(target, name);
  },
  ownKeys(target) {
    look();
    return Reflect.ownKeys(target);
  },
};

export const process: { env: Env } = { env: new Proxy(env, handler) };
