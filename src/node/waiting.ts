// What a node answers while it has no data and may not begin: who it is, by which uid it goes, and what it waits
// for. Everything else is certainly not done.

import { Mem0ctlError } from "../model/errors.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import { VERSION } from "../model/version.ts";
import type { MemoryService } from "../memory/service.ts";
import type { Waiting } from "./beginning.ts";
import type { AdminService } from "./service.ts";

export function waitingReport(
  manifest: Manifest,
  spec: NodeSpec,
  { why, clusterId, map, uid }: Waiting,
  process: { readonly pid: number; readonly uptimeMs: number },
): NodeReport {
  return {
    cluster: manifest.name,
    clusterId,
    id: spec.id,
    uid,
    waiting: why,
    address: spec.address,
    role: spec.role,
    zone: spec.zone,
    version: VERSION,
    protocol: manifest.consensus.protocol,
    ...process,
    writeRefusal: null,
    map,
    peers: [],
    groups: [],
    leaders: {},
  };
}

/** Services that report, and refuse everything else as `node-waiting` (kind unavailable). */
export function waitingServices(report: () => NodeReport): {
  readonly memories: MemoryService;
  readonly admin: AdminService;
} {
  const refuse = (): never => {
    const { id, waiting } = report();
    throw new Mem0ctlError("unavailable", "node-waiting", `${id} ${waiting ?? "is starting"}`, {
      hint: "ask another node; `mem0ctl status` tells when it has begun",
    });
  };
  const refusing = <Service extends object>(answers: object): Service =>
    new Proxy(answers, { get: (_, name) => Reflect.get(answers, name) ?? refuse }) as Service;
  return { memories: refusing<MemoryService>({}), admin: refusing<AdminService>({ report }) };
}
