import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressSet, isPrivateAddress, literalAddress } from "./addresses.ts";

/** As it stands in a URL, with what it is. The first and the last of each block. */
const refused: readonly (readonly [what: string, ...hosts: string[]])[] = [
  ["loopback", "127.0.0.1", "127.0.0.0", "127.255.255.255", "[::1]"],
  ["nothing", "0.0.0.0", "0.255.255.255", "[::]"],
  ["10/8", "10.0.0.0", "10.255.255.255"],
  ["172.16/12", "172.16.0.0", "172.31.255.255"],
  ["192.168/16", "192.168.0.0", "192.168.255.255"],
  ["the carrier's", "100.64.0.0", "100.127.255.255"],
  ["link-local", "169.254.0.0", "169.254.255.255", "[fe80::]", "[febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"],
  ["the cloud's metadata", "169.254.169.254", "[fd00:ec2::254]"],
  ["protocol assignments", "192.0.0.0", "192.0.0.255", "[2001::]", "[2001:1ff:ffff::]"],
  ["documentation", "192.0.2.1", "198.51.100.1", "203.0.113.255", "[2001:db8::1]", "[3fff:fff::1]"],
  ["benchmarks", "198.18.0.0", "198.19.255.255"],
  ["multicast", "224.0.0.1", "239.255.255.255", "[ff00::]", "[ff02::1]"],
  ["reserved and broadcast", "240.0.0.0", "255.255.255.255"],
  ["ULA", "[fc00::]", "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"],
  ["site-local", "[fec0::1]"],
  ["IPv4-mapped", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:8.8.8.8]", "[0:0:0:0:0:ffff:a00:1]"],
  ["IPv4-compatible", "[::127.0.0.1]", "[::a9fe:a9fe]"],
  ["NAT64", "[64:ff9b::]", "[64:ff9b::127.0.0.1]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::1]"],
  ["Teredo and 6to4", "[2001:0:7f00:1::]", "[2002:7f00:1::1]", "192.88.99.1"],
  ["discard", "[100::1]"],
  ["octal", "0177.0.0.1", "0012.0.0.1", "0300.0250.0.1"],
  ["hexadecimal", "0x7f.0.0.1", "0x7f000001", "0xa9fea9fe", "0x0A.0.0.1"],
  ["decimal", "2130706433", "2852039166", "0"],
  ["short", "127.1", "10.1", "192.168.1", "0"],
  ["with a dot at the end", "127.0.0.1.", "2130706433."],
  ["other digits", "１２７.0.0.1", "①②⑦.0.0.1", "127。0。0。1"],
  ["escaped", "%31%32%37.0.0.1", "127%2e0.0.1"],
];

for (const [what, ...hosts] of refused) {
  for (const host of hosts) {
    test(`addresses: ${host} is refused (${what})`, () => {
      const address = literalAddress(new URL(`http://${host}/`));
      assert.ok(address !== undefined, "it is an address");
      assert.equal(isPrivateAddress(address), true);
    });
  }
}

/** Beside the blocks, and well known. */
const allowed = [
  "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0",
  "172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0",
  "203.0.112.255 203.0.114.0 223.255.255.255 8.8.8.8 134744072 0x8.8.8.8",
  "[2001:4860:4860::8888] [2606:4700::1111] [2000::] [2001:200::] [2003::1] [3ffe::1] [2a00:1450::1]",
].flatMap((line) => line.split(" "));

for (const host of allowed) {
  test(`addresses: ${host} is public`, () => {
    assert.equal(isPrivateAddress(literalAddress(new URL(`http://${host}/`)) ?? ""), false);
  });
}

test("addresses: what is no address counts as private, as does one that is bound to an interface", () => {
  for (const text of ["", "localhost", "1.2.3", "fe80::1%eth0", "2606:4700::1111%eth0", "1.2.3.4 "])
    assert.equal(isPrivateAddress(text), true, text);
});

test("addresses: a name is no literal address", () => {
  for (const host of ["localhost", "127.0.0.1.nip.io", "example.com"])
    assert.equal(literalAddress(new URL(`http://${host}/`)), undefined);
});

test("addresses: an IPv4-mapped or NAT64 address is never public, whatever it carries", () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      assert.equal(isPrivateAddress(`::ffff:${address}`), true);
      assert.equal(isPrivateAddress(`64:ff9b::${address}`), true);
    }),
  );
});

test("addresses: a set holds its addresses and blocks, in any spelling, and nothing else", () => {
  const holds = addressSet(["10.0.0.0/8", "127.0.0.1", "fd00::/8", "::1"])!;
  for (const address of ["10.0.0.0", "10.255.255.255", "127.0.0.1", "::ffff:10.1.1.1", "fd12::1", "::1", "0:0::1"])
    assert.equal(holds(address), true, address);
  for (const address of ["11.0.0.0", "127.0.0.2", "fc00::1", "::2", "", "name"])
    assert.equal(holds(address), false, address);
  assert.equal(addressSet([])!("10.0.0.1"), false);
});
