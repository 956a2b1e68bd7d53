import { after, before, test } from "node:test";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

test("headers are case-insensitive and iterated in sorted order", async () => {
  await sameAsNode(
    sandbox,
    `const headers = new Headers([["X-B", "1"], ["content-Type", "a"], ["x-a", "2"], ["X-b", "3"]]);
     return [[...headers], headers.get("X-B"), headers.has("CONTENT-TYPE"), headers.get("none"), [...headers.keys()], [...headers.values()]];`,
  );
});

test("set replaces, append adds, delete removes", async () => {
  await sameAsNode(
    sandbox,
    `const headers = new Headers({ a: "1", b: "2" });
     headers.append("A", "3"); headers.set("B", "4"); headers.append("c", "5"); headers.delete("C"); headers.set("d", "6"); headers.set("a", "7");
     return [...headers];`,
  );
});

test("set-cookie is never combined", async () => {
  await sameAsNode(
    sandbox,
    `const headers = new Headers([["set-cookie", "a=1"], ["x", "1"], ["Set-Cookie", "b=2"]]);
     return [[...headers], headers.get("set-cookie"), headers.getSetCookie(), new Headers().getSetCookie()];`,
  );
});

test("values are trimmed, and refused if they could break the message", async () => {
  const values = ["  a b\t", "", "\r\nx\n", "a\nb", "a\rb", "a\0b", "é", "€"];
  await sameAsNode(
    sandbox,
    `${JSON.stringify(values)}.map((value) => { try { return new Headers({ a: value }).get("a"); } catch (error) { return error.name; } })`,
  );
});

test("names must be tokens", async () => {
  const names = ["a-b", "!#$%&'*+.^_`|~", "", "a b", "a:b", "é", "a\n"];
  await sameAsNode(
    sandbox,
    `${JSON.stringify(names)}.map((name) => { try { return [...new Headers([[name, "v"]])]; } catch (error) { return error.name; } })`,
  );
});

test("what headers are made of is checked", async () => {
  for (const init of [
    "null",
    "1",
    "'a'",
    "[['a']]",
    "[['a', 'b', 'c']]",
    "[1]",
    "{ [Symbol('a')]: 1 }",
    "[['a', Symbol('b')]]",
  ]) {
    await sameAsNode(sandbox, `[...new Headers(${init})]`);
  }
  for (const init of [
    "undefined",
    "[]",
    "{}",
    "new Headers({ a: '1' })",
    "new Map([['a', '1']])",
    "{ a: 1, b: null }",
  ]) {
    await sameAsNode(sandbox, `[...new Headers(${init})]`);
  }
});

test("changes while iterating are seen", async () => {
  await sameAsNode(
    sandbox,
    `const headers = new Headers({ a: "1", c: "3" });
     const seen = [];
     for (const [name] of headers) { seen.push(name); if (name === "a") headers.set("b", "2"); }
     headers.forEach((value, name, whole) => seen.push([value, name, whole === headers]));
     return seen;`,
  );
});
