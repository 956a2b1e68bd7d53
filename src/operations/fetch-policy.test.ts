import assert from "node:assert/strict";
import { test } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { fetchGuard } from "./fetch-policy.ts";
import type { FetchPolicy } from "./fetch-policy.ts";

function allows(policy: FetchPolicy | undefined, url: string, method = "GET"): boolean {
  try {
    fetchGuard(policy).check(new URL(url), method, new Headers(), 0);
    return true;
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return false;
  }
}

const api = { origins: ["https://api.example.com"] };
const sub = { origins: ["https://*.example.com"] };
const rows: [string, FetchPolicy | undefined, string, boolean][] = [
  ["no policy allows anything", undefined, "http://anywhere.test/x", true],
  ["an exact origin allows its paths", api, "https://api.example.com/v1?x=1", true],
  ["case does not matter", { origins: ["HTTPS://API.Example.com"] }, "https://api.EXAMPLE.com/", true],
  ["the default port is the same origin", api, "https://api.example.com:443/", true],
  ["another port is another origin", api, "https://api.example.com:8443/", false],
  ["another scheme is another origin", api, "http://api.example.com/", false],
  ["another host is refused", api, "https://example.com/", false],
  ["a host that only begins like it is refused", api, "https://api.example.com.evil.test/", false],
  ["the origin as user name is refused", api, "https://api.example.com@evil.test/", false],
  ["a trailing dot is another host", api, "https://api.example.com./", false],
  ["a wildcard allows a subdomain", sub, "https://a.example.com/", true],
  ["a wildcard allows deeper subdomains", sub, "https://a.b.example.com/", true],
  ["a wildcard does not allow the domain itself", sub, "https://example.com/", false],
  ["a wildcard needs the dot", sub, "https://evilexample.com/", false],
  ["a wildcard keeps the scheme", sub, "http://a.example.com/", false],
  ["a wildcard keeps the port", sub, "https://a.example.com:8443/", false],
  ["a wildcard with a port", { origins: ["https://*.example.com:8443"] }, "https://a.example.com:8443/", true],
  ["an empty list refuses everything", { origins: [] }, "https://api.example.com/", false],
  ["what has no origin is refused", api, "data:,hello", false],
  ["without origins nothing is named", { methods: ["GET"] }, "https://api.example.com/", false],
  ["an empty policy refuses everything", {}, "https://api.example.com/", false],
  ["an asterisk names every origin", { origins: ["*"] }, "http://anywhere.test:81/x", true],
  ["an asterisk names no private address", { origins: ["*"] }, "http://127.0.0.1/", false],
  ["naming an address does not allow it", { origins: ["http://127.0.0.1"] }, "http://127.0.0.1/", false],
  ["allowing addresses names no origin", { allowPrivate: true }, "http://127.0.0.1/", false],
  ["all private addresses", { origins: ["*"], allowPrivate: true }, "http://[::1]/", true],
  ["a block", { origins: ["*"], allowPrivate: ["10.0.0.0/8", "::1"] }, "http://10.1.2.3/", true],
  ["an IPv6 address", { origins: ["*"], allowPrivate: ["10.0.0.0/8", "::1"] }, "http://[::1]/", true],
  ["outside the block", { origins: ["*"], allowPrivate: ["10.0.0.0/8"] }, "http://11.1.2.3/", true],
  ["private outside the block", { origins: ["*"], allowPrivate: ["10.0.0.0/8"] }, "http://172.16.0.1/", false],
  ["a block, in another spelling", { origins: ["*"], allowPrivate: ["10.0.0.0/8"] }, "http://[::ffff:10.0.0.1]/", true],
  ["an empty list allows none", { origins: ["*"], allowPrivate: [] }, "http://127.0.0.1/", false],
];

for (const [name, policy, url, expected] of rows) {
  test(`fetch policy: ${name}`, () => assert.equal(allows(policy, url), expected));
}

test("fetch policy: a list of methods refuses the others, in any case", () => {
  const policy = { origins: ["*"], methods: ["GET", "post"] };
  assert.deepEqual(
    ["GET", "get", "POST", "PUT", "DELETE"].map((method) => allows(policy, "https://a.test/", method)),
    [true, true, true, false, false],
  );
});

test("fetch policy: without methods the safe ones are allowed, with an asterisk all", () => {
  const methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "REPORT"];
  const which = (policy: FetchPolicy): string[] =>
    methods.filter((method) => allows(policy, "https://a.test/", method));
  assert.deepEqual(which({ origins: ["*"] }), ["GET", "HEAD", "OPTIONS"]);
  assert.deepEqual(which({ origins: ["*"], methods: ["*"] }), methods);
  assert.deepEqual(which({ origins: ["*"], methods: [] }), []);
});

const refusals: [FetchPolicy, string, string, Headers, number, string][] = [
  [api, "https://evil.test/path", "GET", new Headers(), 0, "requests to https://evil.test (fetchPolicy.origins"],
  [{ origins: ["*"] }, "https://a.test", "PATCH", new Headers(), 0, "the method PATCH (fetchPolicy.methods"],
  [
    { origins: ["*"] },
    "http://0x7f.1:80/a",
    "GET",
    new Headers(),
    0,
    "requests to http://127.0.0.1, whose address is not one of the public internet (fetchPolicy.allowPrivate",
  ],
  [
    { origins: ["*"], methods: ["*"], maxRequestBytes: 9 },
    "http://a.test",
    "POST",
    new Headers(),
    10,
    "a body of 10 bytes (fetchPolicy.maxRequestBytes is 9",
  ],
  [api, "https://api.example.com", "GET", new Headers({ host: "b.test" }), 0, "a Host header that differs"],
];

for (const [policy, url, method, headers, bodyBytes, message] of refusals) {
  test(`fetch policy: a refusal names what was refused and why: ${message}…`, () => {
    assert.throws(
      () => fetchGuard(policy).check(new URL(url), method, headers, bodyBytes),
      (error: Error) => error instanceof TypeError && error.message.includes(`does not allow ${message}`),
    );
  });
}

test("fetch policy: what is just within its limits passes", () => {
  const guard = fetchGuard({ ...api, methods: ["POST"], maxRequestBytes: 9, maxResponseBytes: 8 });
  guard.check(new URL("https://api.example.com:443"), "POST", new Headers({ host: "API.example.com" }), 9);
  assert.equal(guard.maxResponseBytes, 8);
});

const bad: unknown[] = [
  { origins: ["api.example.com"] },
  { origins: ["https://api.example.com/v1"] },
  { origins: ["https://api.example.com?x"] },
  { origins: ["https://user@api.example.com"] },
  { origins: ["ftp://example.com"] },
  { origins: ["https://api.*.com"] },
  { origins: ["https://*.*.com"] },
  { origins: ["**"] },
  { origins: ["https://*"] },
  { origins: "https://api.example.com" },
  { methods: [1] },
  { hosts: [] },
  { allowPrivate: "127.0.0.1" },
  { allowPrivate: ["localhost"] },
  { allowPrivate: ["10.0.0.0/33"] },
  { allowPrivate: ["10.0.0.0/8/8"] },
  { allowPrivate: ["10.0.0.0/"] },
  { allowPrivate: ["fe80::1%eth0"] },
  { allowPrivate: [10] },
  { maxRequestBytes: -1 },
  { maxResponseBytes: 1.5 },
  { maxResponseBytes: "1 MiB" },
  { maxResponseBytes: 33_554_433 },
  [],
];

for (const policy of bad) {
  test(`fetch policy: ${JSON.stringify(policy)} is refused when it is set`, () => {
    assert.throws(
      () => fetchGuard(policy as FetchPolicy),
      (error) => isPerdureError(error, "ARGUMENT_INVALID"),
    );
  });
}
