import assert from "node:assert/strict";
import { test } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { fetchGuard } from "./fetch-policy.ts";
import type { FetchPolicy } from "./fetch-policy.ts";

function allows(policy: FetchPolicy | undefined, url: string, method = "GET"): boolean {
  try {
    fetchGuard(policy)(new URL(url), method);
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
  ["what has no origin is refused by a list of origins", api, "data:,hello", false],
  ["a list of methods alone does not restrict origins", { methods: ["get"] }, "https://api.example.com/", true],
];

for (const [name, policy, url, expected] of rows) {
  test(`fetch policy: ${name}`, () => assert.equal(allows(policy, url), expected));
}

test("fetch policy: a list of methods refuses the others, in any case", () => {
  const policy = { methods: ["GET", "post"] };
  assert.deepEqual(
    ["GET", "get", "POST", "PUT", "DELETE"].map((method) => allows(policy, "https://a.test/", method)),
    [true, true, true, false, false],
  );
});

test("fetch policy: a refusal names what was refused", () => {
  assert.throws(
    () => fetchGuard(api)(new URL("https://evil.test/path"), "GET"),
    /does not allow requests to https:\/\/evil\.test$/,
  );
  assert.throws(
    () => fetchGuard({ methods: [] })(new URL("https://a.test/"), "PATCH"),
    /does not allow the method PATCH$/,
  );
});

const bad: unknown[] = [
  { origins: ["api.example.com"] },
  { origins: ["https://api.example.com/v1"] },
  { origins: ["https://api.example.com?x"] },
  { origins: ["https://user@api.example.com"] },
  { origins: ["ftp://example.com"] },
  { origins: ["https://api.*.com"] },
  { origins: ["https://*.*.com"] },
  { origins: ["*"] },
  { origins: "https://api.example.com" },
  { methods: [1] },
  { hosts: [] },
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
