// Where the nodes of a Redis Cluster talk to each other: a second port beside the one for clients. Redis
// takes the port + 10000; where that would be no port, the other side is as easy to remember.

const OFFSET = 10_000;
const PORT_MAX = 65_535;

export function busPort(port: number): number {
  return port + OFFSET <= PORT_MAX ? port + OFFSET : port - OFFSET;
}
