/** Which addresses are the world's, and which belong to a machine, its network or nobody. */
import { BlockList, isIP } from "node:net";

/** Of IPv4: everything but these is public (IANA's registry of special-purpose addresses). */
const privateIpv4 = [
  "0.0.0.0/8", // this host
  "10.0.0.0/8",
  "100.64.0.0/10", // shared by the customers of a carrier
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local; clouds answer with credentials at 169.254.169.254
  "172.16.0.0/12",
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16",
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, and broadcast
];

/**
 * Of IPv6 only 2000::/3 is public: not ::, ::1, IPv4-mapped addresses, 64:ff9b::/96 (NAT64), fc00::/7, fe80::/10, ff00::/8. And
 * within it not these.
 */
const publicIpv6 = "2000::/3";
const privateIpv6 = [
  "2001::/23", // protocol assignments, Teredo among them, which carries IPv4 addresses
  "2001:db8::/32", // documentation
  "2002::/16", // 6to4, which carries IPv4 addresses
  "3fff::/20", // documentation
];

/** A set of addresses; undefined if one of `entries` is neither an address nor a block like `10.0.0.0/8`. */
export function addressSet(entries: readonly string[]): ((address: string) => boolean) | undefined {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = "", bits, ...rest] = entry.split("/");
    const family = isIP(address);
    const widest = family === 4 ? 32 : 128;
    const length = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : Infinity;
    if (family === 0 || address.includes("%") || rest.length > 0 || length > widest) return undefined;
    list.addSubnet(address, length, family === 4 ? "ipv4" : "ipv6");
  }
  return (address) => {
    const bare = address.replace(/%.*$/, "");
    return isIP(bare) !== 0 && list.check(bare, isIP(bare) === 4 ? "ipv4" : "ipv6");
  };
}

function known(entries: readonly string[]): (address: string) => boolean {
  const set = addressSet(entries);
  if (set === undefined) throw new Error(`Not addresses: ${entries.join(", ")}`);
  return set;
}

const isPrivateIpv4 = known(privateIpv4);
const isPublicIpv6 = known([publicIpv6]);
const isPrivateIpv6 = known(privateIpv6);

/** True for all that is not certainly an address of the public internet, and for what is no address. */
export function isPrivateAddress(address: string): boolean {
  if (address.includes("%")) return true;
  const family = isIP(address);
  if (family === 4) return isPrivateIpv4(address);
  return family !== 6 || !isPublicIpv6(address) || isPrivateIpv6(address);
}

/** The address that a URL names literally, in any of its spellings, which the URL parser has made one; undefined for a name. */
export function literalAddress(url: URL): string | undefined {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(host) === 0 ? undefined : host;
}
