// A socket that answers commands as a test says: for what a real server does only when it breaks, or what the
// one at hand is too old for.

import { createServer, type Socket } from "node:net";

export interface ScriptedServer {
  readonly port: number;
  /** Every command as it came, on whichever connection. */
  readonly asked: readonly (readonly Buffer[])[];
  /** Connections so far. */
  readonly dialled: () => number;
  close(): Promise<void>;
}

/** What goes back for a command, in the form of the wire; undefined: nothing yet. */
export type Answer = (command: readonly string[], socket: Socket) => string | Buffer | undefined;

export async function scriptedServer(answer: Answer): Promise<ScriptedServer> {
  const asked: Buffer[][] = [];
  const sockets = new Set<Socket>();
  let dialled = 0;
  const server = createServer((socket) => {
    dialled += 1;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    let text = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      text = Buffer.concat([text, chunk]);
      for (let read = commandIn(text); read !== undefined; read = commandIn(text)) {
        text = text.subarray(read.bytes);
        asked.push(read.command);
        const reply = answer(read.command.map(String), socket);
        if (reply !== undefined && socket.writable) socket.write(reply);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    asked,
    dialled: () => dialled,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** The first command, which clients send as an array of bulk strings; undefined while it is not whole. */
function commandIn(bytes: Buffer): { readonly command: Buffer[]; readonly bytes: number } | undefined {
  let at = 0;
  const line = (): number | undefined => {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return undefined;
    const number = Number(bytes.toString("latin1", at + 1, end));
    at = end + 2;
    return number;
  };
  const parts = line();
  if (parts === undefined) return undefined;
  const command: Buffer[] = [];
  while (command.length < parts) {
    const length = line();
    if (length === undefined || bytes.length < at + length + 2) return undefined;
    command.push(bytes.subarray(at, at + length));
    at += length + 2;
  }
  return { command, bytes: at };
}
