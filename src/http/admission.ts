// How much a node takes on at a time. Over the bound a request is refused at once with `busy` (HTTP 429):
// a queue without end would only turn overload into timeouts and memory.

import { Mem0ctlError } from "../model/errors.ts";

export interface AdmissionLimits {
  readonly requestsMax: number;
  /** Bodies being read or served, together. */
  readonly bytesMax: number;
}

export interface Admission {
  /** Counts a request in and returns what counts it out again. Throws `busy` or `node-stopping`. */
  enter(bodyBytes: number): () => void;
  /** Runs a handler; it counts until it is over, even when its client has gone. */
  run<Answer>(handler: () => Promise<Answer>): Promise<Answer>;
  /** From now on nothing enters. */
  close(): void;
}

export function createAdmission(limits: AdmissionLimits): Admission {
  let requests = 0;
  let bytes = 0;
  let handlers = 0;
  let closed = false;
  return {
    enter: (bodyBytes) => {
      if (closed) {
        throw new Mem0ctlError("unavailable", "node-stopping", "this node is stopping", {
          hint: "ask another node of the cluster",
        });
      }
      // One request is always let in, however large: its own bound is that of the body.
      const full =
        requests >= limits.requestsMax ||
        handlers >= limits.requestsMax ||
        (requests > 0 && bytes + bodyBytes > limits.bytesMax);
      if (full) {
        throw new Mem0ctlError(
          "busy",
          "too-many-requests",
          "this node has as many requests as it takes at a time",
          {
            hint: "wait a moment and send it again, or ask another node",
          },
        );
      }
      requests += 1;
      bytes += bodyBytes;
      return () => {
        requests -= 1;
        bytes -= bodyBytes;
      };
    },
    run: async (handler) => {
      handlers += 1;
      try {
        return await handler();
      } finally {
        handlers -= 1;
      }
    },
    close: () => {
      closed = true;
    },
  };
}
