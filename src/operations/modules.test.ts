import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { operation } from "./definition.ts";
import type { HostFunction } from "./definition.ts";
import { createHostModules } from "./modules.ts";
import type { HostModules, ModuleExports } from "./modules.ts";

const directory = mkdtempSync(join(tmpdir(), "perdure-modules-"));
after(() => rmSync(directory, { recursive: true }));

/** Modules that exist in memory only; a function in place of exports is called at each import. */
function inMemory(
  modules: Record<string, ModuleExports | (() => Promise<ModuleExports>)>,
): HostModules & { readonly imports: string[] } {
  const imports: string[] = [];
  const list = Object.keys(modules).map((path) => ({ path, file: `/deployment/${path}` }));
  const found = createHostModules(list, {
    import: async (url) => {
      imports.push(url);
      const module = modules[url.slice("file:///deployment/".length)] ?? assert.fail(url);
      return typeof module === "function" ? module() : module;
    },
  });
  return { resolve: (name) => found.resolve(name), imports };
}

async function problem(modules: HostModules, name: string): Promise<string> {
  try {
    await modules.resolve(name);
  } catch (error) {
    assert.ok(isPerdureError(error, "OPERATION_UNAVAILABLE"));
    return error.message;
  }
  return assert.fail(`${name} was found`);
}

const charge: HostFunction = async () => "charged";

test("a function is found by path#export; its module is imported once, when first needed", async () => {
  const modules = inMemory({ "shop.ts": { charge, default: charge }, "other.ts": {} });
  assert.deepEqual(modules.imports, []);
  const [a, b] = await Promise.all([modules.resolve("shop.ts#charge"), modules.resolve("shop.ts#default")]);
  assert.equal(a, charge);
  assert.equal(b, charge);
  assert.deepEqual(modules.imports, ["file:///deployment/shop.ts"]);
});

test("a function that was found before is answered without a promise", async () => {
  const modules = inMemory({ "shop.ts": { charge } });
  await modules.resolve("shop.ts#charge");
  assert.equal(modules.resolve("shop.ts#charge"), charge);
});

test("a path may contain #: the export is what follows the last one", async () => {
  const modules = inMemory({ "a%23b.ts": { charge } });
  const odd = createHostModules([{ path: "a#b.ts", file: "/deployment/a#b.ts" }], { import: async () => ({ charge }) });
  assert.equal(await odd.resolve("a#b.ts#charge"), charge);
  assert.match(await problem(modules, "a#b.ts#charge"), /no host module offers it/);
});

test("an explicit name serves processes that know a renamed file by its old path", async () => {
  const renamed = operation({ name: "old/shop.ts#charge" }, async () => 1);
  const modules = inMemory({ "first.ts": {}, "new/shop.ts": { charge: renamed } });
  assert.equal(await modules.resolve("old/shop.ts#charge"), renamed);
  assert.equal(await modules.resolve("new/shop.ts#charge"), renamed);
});

test("an explicit name works where the old file still exists without that export, or no longer loads", async () => {
  const moved = operation({ name: "shop.ts#charge" }, async () => 1);
  const without = inMemory({ "shop.ts": { other: charge }, "payments.ts": { charge: moved } });
  assert.equal(await without.resolve("shop.ts#charge"), moved);
  const broken = inMemory({ "shop.ts": () => Promise.reject(new Error("gone")), "payments.ts": { charge: moved } });
  assert.equal(await broken.resolve("shop.ts#charge"), moved);
});

test("an export found by path goes before an explicit name", async () => {
  const impostor = operation({ name: "shop.ts#charge" }, async () => 1);
  const modules = inMemory({ "other.ts": { impostor }, "shop.ts": { charge } });
  assert.equal(await modules.resolve("shop.ts#charge"), charge);
});

test("two functions that claim one name are both refused, and named", async () => {
  const claim = (): HostFunction => operation({ name: "charge" }, async () => 1) as HostFunction;
  const modules = inMemory({ "a.ts": { x: claim() }, "b.ts": { y: claim() } });
  assert.match(await problem(modules, "charge"), /several operations claim this name: a\.ts#x, b\.ts#y/);
});

test("one function exported by two modules is no conflict", async () => {
  const shared = operation({ name: "charge" }, async () => 1);
  const modules = inMemory({ "a.ts": { shared }, "b.ts": { again: shared } });
  assert.equal(await modules.resolve("charge"), shared);
});

test("a missing export is reported with the file and what it does export", async () => {
  const modules = inMemory({ "shop.ts": { charge, ship: charge, rate: 3 }, "empty.ts": {} });
  const message = await problem(modules, "shop.ts#refund");
  assert.match(
    message,
    /"shop\.ts#refund".*shop\.ts \(\/deployment\/shop\.ts\).*no export refund; it exports charge, ship, rate/,
  );
  assert.match(await problem(modules, "shop.ts#rate"), /its export rate is no function \(number\)/);
  assert.match(await problem(modules, "empty.ts#f"), /it exports nothing/);
});

test("names of Object.prototype are no exports", async () => {
  const modules = inMemory({ "shop.ts": { charge } });
  assert.match(await problem(modules, "shop.ts#toString"), /no export toString/);
});

test("an unknown path is reported with everywhere that was looked", async () => {
  const modules = inMemory({ "a.ts": { charge }, "b.ts": () => Promise.reject(new Error("b is broken")) });
  const message = await problem(modules, "c.ts#charge");
  assert.match(message, /looked in a\.ts \(\/deployment\/a\.ts\), b\.ts \(\/deployment\/b\.ts\)/);
  assert.match(message, /b is broken/);
  assert.match(await problem(inMemory({}), "c.ts#charge"), /this deployment has no host modules/);
});

test("a module that throws while it loads is reported with its reason, and tried again at the next call", async () => {
  let broken = true;
  const modules = inMemory({
    "shop.ts": async () => {
      if (broken) throw new TypeError("STRIPE_KEY is not set");
      return { charge };
    },
  });
  assert.match(await problem(modules, "shop.ts#charge"), /cannot be imported: TypeError: STRIPE_KEY is not set/);
  broken = false;
  assert.equal(await modules.resolve("shop.ts#charge"), charge);
});

test("an import hook that throws at once fails like one that rejects, each time", async () => {
  const modules = createHostModules([{ path: "a.ts", file: "/a.ts" }], { import: () => assert.fail("no loader") });
  assert.match(await problem(modules, "a.ts#f"), /no loader/);
  assert.match(await problem(modules, "a.ts#f"), /no loader/);
});

test("two modules with one path are refused", () => {
  const twice = [
    { path: "a.ts", file: "/x/a.ts" },
    { path: "a.ts", file: "/y/a.ts" },
  ];
  assert.throws(
    () => createHostModules(twice),
    (error) => isPerdureError(error, "ARGUMENT_INVALID") && /\/x\/a\.ts and \/y\/a\.ts/.test(error.message),
  );
});

test("Node imports TypeScript files by itself, whatever characters their path has", async () => {
  const file = join(directory, "a b#%ü.ts");
  writeFileSync(file, `"use host";\nexport async function twice(n: number): Promise<number> { return n * 2; }\n`);
  const modules = createHostModules([{ path: "host.ts", file }]);
  const twice = await modules.resolve("host.ts#twice");
  assert.equal(await twice(21), 42);
});

test("a file that has vanished or does not parse is unavailable, with the reason", async () => {
  const broken = join(directory, "broken.ts");
  writeFileSync(broken, "export const = 1;");
  const modules = createHostModules([
    { path: "gone.ts", file: join(directory, "gone.ts") },
    { path: "broken.ts", file: broken },
  ]);
  assert.match(await problem(modules, "gone.ts#f"), /gone\.ts.*cannot be imported: Error: Cannot find module/);
  assert.match(await problem(modules, "broken.ts#f"), /broken\.ts.*cannot be imported: SyntaxError/);
});
