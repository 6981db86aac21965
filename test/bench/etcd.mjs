// The peer of the write and failover benches: a 3-node etcd of the machine's own package, driven over
// its JSON gateway. Its data lies in the bench's folder, on the same file system as ours.
import { spawn, spawnSync } from "node:child_process";
import { openSync } from "node:fs";
import { join } from "node:path";
import { requestJson } from "./requests.mjs";
import { freePorts, signalProcess, sleep } from "./support.mjs";

/** etcd's version, or undefined where it is not installed. */
export function etcdVersion() {
  const result = spawnSync("etcd", ["--version"], { encoding: "utf8" });
  return /etcd Version: (\S+)/.exec(result.stdout ?? "")?.[1];
}

const base64 = (text) => Buffer.from(text).toString("base64");
export const putRequest = (key, valueBase64) => ({
  method: "POST",
  path: "/v3/kv/put",
  body: `{"key":"${base64(key)}","value":"${valueBase64}"}`,
});

/** Three members; heartbeat and election timeout as our clusters have them. Ends with its folder. */
export async function startEtcd(folder) {
  const port = await freePorts(6);
  const members = [0, 1, 2].map((index) => ({
    name: `etcd-${index + 1}`,
    endpoint: `http://127.0.0.1:${port + index}`,
    peerUrl: `http://127.0.0.1:${port + 3 + index}`,
  }));
  const initialCluster = members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  const children = new Map();

  function start({ name, endpoint, peerUrl }) {
    const log = openSync(join(folder, `${name}.log`), "a");
    const flags = {
      name: name,
      "data-dir": join(folder, name),
      "listen-client-urls": endpoint,
      "advertise-client-urls": endpoint,
      "listen-peer-urls": peerUrl,
      "initial-advertise-peer-urls": peerUrl,
      "initial-cluster": initialCluster,
      "heartbeat-interval": 100,
      "election-timeout": 1_000,
      "log-level": "error",
    };
    const parameters = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn("etcd", parameters, { stdio: ["ignore", log, log] });
    children.set(name, child);
  }

  const memberStatus = ({ endpoint }) =>
    requestJson(endpoint, { method: "POST", path: "/v3/maintenance/status", body: "{}" });

  async function untilWritable() {
    const giveUpAt = Date.now() + 30_000;
    for (;;) {
      try {
        // One put through each member: all three serve and follow a leader.
        for (const { name, endpoint } of members) {
          await requestJson(endpoint, putRequest(`ready-${name}`, base64("yes")));
        }
        return;
      } catch (error) {
        if (Date.now() > giveUpAt) throw error;
        await sleep(100);
      }
    }
  }

  for (const member of members) start(member);
  await untilWritable();
  return {
    endpoints: members.map(({ endpoint }) => endpoint),
    /** The member that leads now: the endpoints of the others, its end by SIGKILL, and its return. */
    async leader() {
      for (const member of members) {
        const status = await memberStatus(member);
        if (status.header.member_id === status.leader) {
          return {
            survivors: members.filter(({ name }) => name !== member.name).map(({ endpoint }) => endpoint),
            kill: () => signalProcess(children.get(member.name).pid, "SIGKILL"),
            restart: async () => {
              start(member);
              await untilWritable();
            },
          };
        }
      }
      throw new Error("no etcd member says that it leads");
    },
  };
}
