// Node addresses: `host:port` and `[v6]:port`. Says what is wrong with one in words; knows which hosts
// only this machine can reach. Never resolves a name.

import { isIP, isIPv4 } from "node:net";

export interface Address {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** RFC 1123 host names: labels of letters, digits and inner hyphens. */
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?$/i;

/** Node looks by an expression that takes milliseconds to compile, and nearly no host has two colons. */
function isIPv6(host: string): boolean {
  return host.indexOf(":") !== host.lastIndexOf(":") && isIP(host) === 6;
}

/** The parts of an address, or what is wrong with it. */
export function parseAddress(address: string): Address | { readonly problem: string } {
  let host: string;
  let portText: string | undefined;
  if (address.startsWith("[")) {
    const close = address.indexOf("]");
    if (close === -1) return { problem: "the bracket [ is not closed" };
    host = address.slice(1, close);
    const rest = address.slice(close + 1);
    if (rest !== "" && !rest.startsWith(":")) return { problem: "only :port may follow the bracket ]" };
    portText = rest === "" ? undefined : rest.slice(1);
    if (!isIPv6(host)) return { problem: "what is in brackets is not an IPv6 address" };
  } else {
    if (isIPv6(address)) return { problem: "an IPv6 address needs brackets and a port: [v6]:port" };
    const colon = address.lastIndexOf(":");
    host = colon === -1 ? address : address.slice(0, colon);
    portText = colon === -1 ? undefined : address.slice(colon + 1);
    if (host === "") return { problem: "it has no host" };
    if (isIPv6(host)) return { problem: "an IPv6 address needs brackets: [v6]:port" };
    // A last label of digits would be read as an IPv4 address by some programs and as a name by others.
    const lastLabel = host.replace(/\.$/, "").split(".").at(-1) ?? "";
    if (!isIPv4(host) && (!HOST_NAME.test(host) || /^(\d+|0x[0-9a-f]*)$/i.test(lastLabel))) {
      return { problem: "its host is neither an IP address nor a host name" };
    }
  }
  if (portText === undefined || portText === "") return { problem: "it has no port" };
  const port = Number(portText);
  if (!/^\d{1,9}$/.test(portText)) return { problem: "its port is not a number" };
  if (port < 1 || port > 65_535) return { problem: `its port is ${port}; ports are 1..65535` };
  return { host, port };
}

/** One spelling for every host that means the same: for finding duplicates, not for connecting. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase().replace(/\.$/, "");
  if (lower === "localhost") return "127.0.0.1";
  if (!isIPv6(lower)) return lower;
  const url = `http://[${lower}]`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : lower;
}

/** 127.0.0.0/8, ::1 and localhost: what no other machine can reach. */
export function isLoopback(host: string): boolean {
  const canonical = canonicalHost(host);
  return (
    (isIPv4(canonical) && canonical.startsWith("127.")) ||
    canonical === "::1" ||
    /^::ffff:7f[0-9a-f]{2}:/.test(canonical)
  );
}

/** 0.0.0.0 and ::, which one can listen on but not connect to. */
export function isUnspecified(host: string): boolean {
  const canonical = canonicalHost(host);
  return canonical === "0.0.0.0" || canonical === "::";
}
