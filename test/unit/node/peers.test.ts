import { createServer, type Server } from "node:http";
import { connect, createServer as createRelay, type AddressInfo, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { NetworkHandlers } from "../../../src/node/transport/network.ts";
import { Peers, type PeerAddress } from "../../../src/node/transport/peers.ts";

interface Side {
  readonly peers: Peers;
  readonly address: PeerAddress;
  readonly server: Server;
  readonly known: Map<string, string>;
  readonly refused: string[];
  readonly gone: string[];
  readonly dismissed: number[];
}

const sides: Side[] = [];
afterEach(async () => {
  for (const { peers, server } of sides.splice(0)) {
    peers.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function side(
  id: string,
  options: {
    clusterId?: string;
    uid?: string;
    onCall?: NetworkHandlers["onCall"];
    willFlush?: NetworkHandlers["willFlush"];
  } = {},
): Promise<Side> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const known = new Map<string, string>();
  const refused: string[] = [];
  const gone: string[] = [];
  const dismissed: number[] = [];
  const peers = new Peers({
    self: id,
    clusterId: options.clusterId ?? "one",
    uid: options.uid ?? `uid of ${id}`,
    knownUid: (peer) => known.get(peer),
    rememberUid: (peer, uid) => known.set(peer, uid),
    adminToken: undefined,
    tls: undefined,
    silentBeatsMax: 10,
    onRefused: (_peer, reason) => refused.push(reason),
    handlers: {
      onMessages: () => undefined,
      onBeat: () => undefined,
      onCall: options.onCall ?? (async (_from, _method, body) => body),
      onGone: (peer) => gone.push(peer),
      onDismissed: (epoch) => dismissed.push(epoch),
      willFlush: options.willFlush ?? (() => false),
    },
  });
  server.on("upgrade", (request, socket, head) => peers.accept(request, socket, head));
  const made = { peers, address: { id, host: "127.0.0.1", port }, server, known, refused, gone, dismissed };
  sides.push(made);
  return made;
}

async function until(what: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!what()) {
    if (Date.now() > deadline) throw new Error("it did not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function introduce(...all: readonly Side[]): void {
  for (const { peers } of all)
    peers.setPeers(
      all.map(({ address }) => address),
      1,
    );
}

const later = (): number => performance.now() + 10_000;

it("answers that are too large for one frame are sent one by one, and one that is too large alone is refused", async () => {
  const a = await side("a", {
    onCall: async (_from, _method, body) => Buffer.alloc(Number(body), 7),
  });
  const b = await side("b");
  introduce(a, b);
  await until(() => b.peers.connected("a"));
  const sizes = [12 << 20, 12 << 20, 12 << 20, 100];
  const answers = await Promise.all(sizes.map((size) => b.peers.call("a", "make", size, later())));
  expect(answers.map((answer) => (answer as Buffer).length)).toEqual(sizes);
  await expect(b.peers.call("a", "make", 40 << 20, later())).rejects.toMatchObject({
    code: "answer-too-large",
  });
  expect(await b.peers.call("a", "make", 10, later())).toHaveLength(10);
});

it("what is queued leaves with the flush that is about to come, and what comes after it with the next turn's", async () => {
  let isDue = true;
  const a = await side("a");
  const b = await side("b", { willFlush: () => isDue });
  introduce(a, b);
  await until(() => b.peers.connected("a"));
  let answered = 0;
  const call = async (): Promise<void> => {
    await b.peers.call("a", "echo", null, later());
    answered += 1;
  };
  const first = call();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(answered).toBe(0);
  b.peers.flush();
  await first;
  isDue = false;
  const second = call();
  b.peers.flush();
  const third = call();
  await Promise.all([second, third]);
  expect(answered).toBe(3);
});

it("an error of the callee reaches the caller as it was, and an unknown peer is certainly not reached", async () => {
  const a = await side("a", {
    onCall: async () => {
      throw new Mem0ctlError("conflict", "some-code", "what", { hint: "do this" });
    },
  });
  const b = await side("b");
  introduce(a, b);
  await until(() => b.peers.connected("a"));
  await expect(b.peers.call("a", "x", null, later())).rejects.toMatchObject({
    code: "some-code",
    hint: "do this",
  });
  await expect(b.peers.call("c", "x", null, later())).rejects.toMatchObject({ kind: "unavailable" });
});

it("a call whose peer goes away has an unknown outcome, and the peer is noticed to be gone", async () => {
  const a = await side("a", { onCall: () => new Promise(() => undefined) });
  const b = await side("b");
  introduce(a, b);
  await until(() => b.peers.connected("a"));
  const outcome = b.peers.call("a", "x", null, later()).catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 20));
  a.peers.close();
  a.server.close();
  a.server.closeAllConnections();
  expect(await outcome).toMatchObject({ kind: "unknown-outcome" });
  await until(() => b.gone.includes("a"));
});

it("tells a peer that the map does not have any more, connected or calling, by which map", async () => {
  const [a, b] = [await side("a"), await side("b")];
  introduce(a, b);
  await until(() => a.peers.connected("b") && b.peers.connected("a"));
  a.peers.setPeers([], 7);
  await until(() => b.dismissed.includes(7));
  expect(a.peers.connected("b")).toBe(false);
  // Who calls, and is no peer, is told by today's map.
  b.peers.setPeers([], 7);
  a.peers.setPeers([b.address], 8);
  await until(() => a.dismissed.includes(7));
  expect(a.peers.connected("b")).toBe(false);
});

it("refuses a node of another cluster, and one that came back without its data", async () => {
  const a = await side("a");
  const stranger = await side("b", { clusterId: "two" });
  introduce(a, stranger);
  await until(() => a.refused.length > 0);
  expect(a.refused[0]).toContain("another cluster");
  const c = await side("c");
  c.known.set("d", "uid that d had");
  const d = await side("d", { uid: "uid after a wipe" });
  introduce(c, d);
  await until(() => d.refused.length > 0);
  expect(c.peers.connected("d")).toBe(false);
  expect(c.refused[0]).toContain("without its data");
});

/** Stands before a node's port; what is frozen loses all that comes and ends nothing. */
async function relayTo(port: number): Promise<{ port: number; freeze: () => void; close: () => void }> {
  const open: Socket[] = [];
  const relay = createRelay((near) => {
    const far = connect({ host: "127.0.0.1", port });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.push(from);
      from.on("data", (chunk: Buffer) => to.write(chunk));
      from.on("error", () => undefined);
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  return {
    port: (relay.address() as AddressInfo).port,
    freeze: () => {
      for (const socket of open.splice(0))
        socket.removeAllListeners("data").removeAllListeners("close").resume();
    },
    close: () => {
      relay.close();
      for (const socket of open) socket.destroy();
    },
  };
}

it("a connection that was forgotten on its way is given up after so many beats without a word, and made anew", async () => {
  const a = await side("a");
  const b = await side("b");
  const relay = await relayTo(b.address.port);
  const beats = setInterval(() => {
    for (const [{ peers }, to] of [
      [a, "b"],
      [b, "a"],
    ] as const) {
      peers.beat(to, { leads: [] });
      peers.flush();
    }
  }, 10);
  try {
    a.peers.setPeers([{ ...b.address, port: relay.port }], 1);
    b.peers.setPeers([a.address], 1);
    await until(() => a.peers.connected("b") && b.peers.connected("a"));
    // A peer that says something now and then is not given up.
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(a.peers.connected("b") && b.peers.connected("a")).toBe(true);
    relay.freeze();
    const lost = a.peers.call("b", "x", "lost", later()).catch((error: unknown) => error);
    expect(await lost).toMatchObject({ kind: "unknown-outcome" });
    await until(() => a.peers.connected("b") && b.peers.connected("a"));
    expect(await a.peers.call("b", "x", "there", later())).toBe("there");
    expect(await b.peers.call("a", "x", "back", later())).toBe("back");
  } finally {
    clearInterval(beats);
    relay.close();
  }
});
