// The language of the transcripts of replicated logs: a handful of simulated hosts that do only what a command
// says. What a protocol adds (messages, its words) is handed in.
//
//   cluster 3 [learners=4] [arbiters=3] [spares=5] [priorities=0,1,2] [key=value options]
//   tick N [count]        campaign N        propose N text…      read N context
//   deliver [A->B] [max]  delivers what is queued, and what that causes, until nothing is left
//   drop A->B             loses what is queued on a link            cut A | cut A->B    heal
//   keep A->B             copies what is queued; `again` queues the copies, so they arrive late
//   hold N                N's disk flushes only on `persist N`      release N
//   crash N   start N     unreachable N peer   transfer N to   compact N index
//   reconfigure N voters=1,2 [learners=] [arbiters=]
//   stream ok|fail        ends the snapshot streams that were wanted; `stream again` repeats the last ones
//   status [N]   log [N]  quietly <command>    prints nothing but `ok`
//
// Disks flush at once unless held; random parts of timeouts are zero.

import { decodeMembership, membershipOf } from "../../src/consensus/membership.ts";
import type { Effects, Entry, Input, Membership, Message, ReplicaFactory } from "../../src/consensus/seam.ts";
import { SimulatedHost, type Snapshot } from "../unit/consensus/simulated-host.ts";
import type { Interpreter } from "./runner.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const DELIVERIES_MAX = 2000;

interface Stream {
  readonly from: string;
  readonly to: string;
  readonly term: number;
  readonly snapshot: Snapshot;
}

/** A protocol, and how its transcripts print it. */
export interface TranscriptProtocol {
  readonly create: ReplicaFactory;
  readonly describeMessage: (message: Message) => string;
  /** What a term is called. */
  readonly term: string;
  /** What it does when it truncates. */
  readonly truncates: string;
  /** Slots between a membership and the first that it decides; 1 where it is used as soon as it is in the log. */
  readonly window: number;
}

/** A fresh interpreter; each transcript has its own. */
export function logInterpreter(protocol: TranscriptProtocol): Interpreter {
  const cluster = new TranscriptCluster(protocol);
  return (command, args) => cluster.run(command, args);
}

class TranscriptCluster {
  readonly #hosts = new Map<string, SimulatedHost>();
  readonly #held = new Set<string>();
  readonly #cut = new Set<string>();
  readonly #views = new Map<string, string>();
  #queue: Message[] = [];
  #kept: Message[] = [];
  #streams: Stream[] = [];
  #ended: Stream[] = [];
  #output: string[] = [];
  #nextContext = 1;
  readonly #protocol: TranscriptProtocol;

  constructor(protocol: TranscriptProtocol) {
    this.#protocol = protocol;
  }

  run(command: string, args: readonly string[]): string {
    this.#output = [];
    if (command === "quietly") {
      const [inner = "", ...rest] = args;
      this.run(inner, rest);
      return "";
    }
    this.#perform(command, args);
    return this.#output.join("\n");
  }

  #perform(command: string, args: readonly string[]): void {
    const [first = "", second = ""] = args;
    switch (command) {
      case "cluster":
        this.#create(Number(first), keyValues(args.slice(1)));
        return;
      case "tick":
        for (let count = Number(second || "1"); count > 0; count -= 1) this.#step(first, { kind: "tick" });
        return;
      case "campaign":
        this.#step(first, { kind: "campaign" });
        return;
      case "propose": {
        const proposals = args.slice(1).map((text) => {
          this.#nextContext += 1;
          return { data: encoder.encode(text), context: this.#nextContext - 1 };
        });
        this.#step(first, { kind: "propose", proposals });
        return;
      }
      case "read":
        this.#step(first, { kind: "read", context: Number(second) });
        return;
      case "deliver":
        this.#deliver(first, Number(second || String(DELIVERIES_MAX)));
        return;
      case "drop":
        this.#take(first).forEach((message) =>
          this.#print(`lost ${this.#protocol.describeMessage(message)}`),
        );
        return;
      case "keep":
        this.#kept = this.#queue.filter((message) => isOn(message, first));
        return;
      case "again":
        this.#queue.push(...this.#kept);
        return;
      case "cut":
        this.#cutLinks(first);
        return;
      case "heal":
        this.#cut.clear();
        return;
      case "hold":
        this.#held.add(first);
        return;
      case "release":
        this.#held.delete(first);
        this.#host(first).flush();
        return;
      case "persist":
        this.#print(`${first} flushes ${this.#host(first).writes.length} writes`);
        this.#host(first).flush();
        return;
      case "crash":
        this.#host(first).crash();
        return;
      case "start":
        this.#host(first).start();
        return;
      case "unreachable":
        this.#step(first, { kind: "unreachable", peer: second });
        return;
      case "transfer":
        this.#step(first, { kind: "transfer", to: second });
        return;
      case "compact":
        this.#step(first, { kind: "compact", index: Number(second) });
        return;
      case "reconfigure":
        this.#step(first, { kind: "reconfigure", target: membershipFrom(keyValues(args.slice(1))) });
        return;
      case "stream":
        if (first === "again") this.#streams = this.#ended;
        this.#endStreams(first !== "fail");
        return;
      case "status":
        for (const host of this.#chosen(first)) this.#print(describeStatus(host));
        return;
      case "log":
        for (const host of this.#chosen(first)) this.#print(describeLog(host));
        return;
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  #create(count: number, options: ReadonlyMap<string, string>): void {
    const voters = Array.from({ length: count }, (_, position) => String(position + 1));
    const membership = membershipFrom(new Map([...options, ["voters", voters.join(",")]]));
    const spares = list(options.get("spares"));
    const priorities = list(options.get("priorities")).map(Number);
    [...voters, ...membership.learners, ...spares].forEach((id, position) => {
      const number = (key: string, otherwise: number): number => Number(options.get(key) ?? otherwise);
      const replicaOptions = {
        id,
        heartbeatTicks: 2,
        electionTicks: 10,
        priority: priorities[position] ?? 0,
        arbiter: membership.arbiters.includes(id),
        random: () => 0,
        appendBytesMax: number("appendBytesMax", 4096),
        inflightBytesMax: number("inflightBytesMax", 65_536),
        inflightMessagesMax: number("inflightMessagesMax", 8),
        uncommittedBytesMax: number("uncommittedBytesMax", 65_536),
      };
      const host = new SimulatedHost(
        replicaOptions,
        membership,
        {
          onSend: (message) => this.#queue.push(message),
          onEffects: (at, _input, effects) => this.#report(at, effects),
          onReplica: () => undefined,
        },
        { create: this.#protocol.create, keepsCommit: true },
      );
      this.#hosts.set(id, host);
    });
  }

  #step(id: string, input: Input): void {
    const host = this.#host(id);
    host.step(input);
    this.#flushUnlessHeld(host);
  }

  #flushUnlessHeld(host: SimulatedHost): void {
    while (host.writes.length > 0 && !this.#held.has(host.id)) host.flush();
  }

  #deliver(link: string, deliveriesMax: number): void {
    for (let count = 0; count < deliveriesMax; count += 1) {
      const position = this.#queue.findIndex((message) => isOn(message, link));
      const message = this.#queue[position];
      if (message === undefined) return;
      this.#queue.splice(position, 1);
      const host = this.#host(message.to);
      if (this.#cut.has(`${message.from}->${message.to}`) || host.replica === undefined) {
        this.#print(`lost ${this.#protocol.describeMessage(message)}`);
        continue;
      }
      this.#print(this.#protocol.describeMessage(message));
      this.#step(message.to, { kind: "message", message });
    }
    if (deliveriesMax === DELIVERIES_MAX) throw new Error("messages never end");
  }

  #take(link: string): readonly Message[] {
    const taken = this.#queue.filter((message) => isOn(message, link));
    this.#queue = this.#queue.filter((message) => !isOn(message, link));
    return taken;
  }

  #cutLinks(link: string): void {
    if (link.includes("->")) {
      this.#cut.add(link);
      return;
    }
    for (const other of this.#hosts.keys()) {
      this.#cut.add(`${link}->${other}`);
      this.#cut.add(`${other}->${link}`);
    }
  }

  #endStreams(ok: boolean): void {
    const streams = this.#streams;
    this.#streams = [];
    this.#ended = streams;
    for (const { from, to, term, snapshot } of streams) {
      const { index, term: entryTerm, membership } = snapshot.meta;
      this.#print(
        `${from} streams ${to} its state at ${index}/${entryTerm}, ${describeMembership(membership)}: ${ok ? "ok" : "failed"}`,
      );
      if (ok) {
        this.#host(to).install(snapshot, from, term);
        this.#flushUnlessHeld(this.#host(to));
      }
      this.#step(from, { kind: "snapshot-sent", to, ok, index });
    }
  }

  /** What a step did that a reader of the paper would call an event. */
  #report(host: SimulatedHost, effects: Effects): void {
    const { role, term, leader } = host.running.status();
    const view = `${host.id} is ${role} in ${this.#protocol.term} ${term}${leader === "" || leader === host.id ? "" : `, led by ${leader}`}`;
    if (this.#views.get(host.id) !== view) {
      this.#views.set(host.id, view);
      this.#print(view);
    }
    const { persist } = effects;
    if (persist?.truncateFrom !== undefined) {
      this.#print(`${host.id} ${this.#protocol.truncates} from ${persist.truncateFrom}`);
    }
    if (persist?.snapshot !== undefined) {
      this.#print(`${host.id} switches to the snapshot at ${persist.snapshot.index}`);
    }
    if (persist?.compactTo !== undefined) this.#print(`${host.id} compacts to ${persist.compactTo.index}`);
    for (const { index, kind, data } of persist?.entries ?? []) {
      if (kind !== "config") continue;
      const from = this.#protocol.window === 1 ? "" : ` from slot ${index + this.#protocol.window} on`;
      this.#print(`${host.id} uses ${describeMembership(decodeMembership(data))}${from}`);
    }
    for (const { context, index } of effects.accepted) {
      this.#print(`${host.id} takes proposal ${context} as ${index}/${term}`);
    }
    for (const { context, reason } of effects.refused) {
      this.#print(`${host.id} refuses proposal ${context}: ${reason}`);
    }
    for (const entry of effects.committed) this.#print(`${host.id} commits ${describeEntry(entry)}`);
    for (const { context, index } of effects.reads) {
      this.#print(`${host.id} answers read ${context} at ${index}`);
    }
    for (const { context, reason } of effects.refusedReads) {
      this.#print(`${host.id} refuses read ${context}: ${reason}`);
    }
    for (const { to } of effects.snapshotWanted) {
      this.#print(`${host.id} wants a snapshot streamed to ${to}`);
      this.#streams.push({ from: host.id, to, term, snapshot: host.snapshot() });
    }
  }

  #chosen(id: string): readonly SimulatedHost[] {
    return id === "" ? [...this.#hosts.values()] : [this.#host(id)];
  }

  #host(id: string): SimulatedHost {
    const host = this.#hosts.get(id);
    if (host === undefined) throw new Error(`no replica ${id}`);
    return host;
  }

  #print(line: string): void {
    this.#output.push(line);
  }
}

function isOn(message: Message, link: string): boolean {
  return link === "" || link === `${message.from}->${message.to}`;
}

function keyValues(args: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    args.map((arg) => {
      const [key = "", value = ""] = arg.split("=");
      return [key, value];
    }),
  );
}

function list(text: string | undefined): readonly string[] {
  return (text ?? "").split(",").filter((one) => one !== "");
}

function membershipFrom(options: ReadonlyMap<string, string>): Membership {
  return membershipOf({
    voters: list(options.get("voters")),
    learners: list(options.get("learners")),
    arbiters: list(options.get("arbiters")),
  });
}

function describeMembership({ voters, outgoing, learners, arbiters }: Membership): string {
  const parts = [`voters ${voters.join(" ")}`];
  if (outgoing.length > 0) parts.push(`outgoing ${outgoing.join(" ")}`);
  if (learners.length > 0) parts.push(`learners ${learners.join(" ")}`);
  if (arbiters.length > 0) parts.push(`arbiters ${arbiters.join(" ")}`);
  return parts.join(", ");
}

export function describeEntry({ index, term, ballot, kind, data }: Entry): string {
  if (kind === "hole") return `${index} hole`;
  return `${index}/${term}${ballot === undefined ? "" : `@${ballot}`} ${kind === "command" ? decoder.decode(data) : kind}`;
}

function describeStatus(host: SimulatedHost): string {
  if (host.replica === undefined) return `${host.id} down`;
  const { role, leader, term, vote, commit, first, last, durable, membership, progress, transferringTo } =
    host.replica.status();
  const parts = [
    `${host.id} ${role} term ${term}`,
    `vote ${vote || "-"} leader ${leader || "-"}`,
    `log ${first}..${last} durable ${durable} commit ${commit}`,
    describeMembership(membership),
  ];
  if (transferringTo !== "") parts.push(`transferring to ${transferringTo}`);
  if (progress.length > 0) {
    parts.push(progress.map(({ node, state, match }) => `${node} ${state} ${match}`).join(", "));
  }
  return parts.join("; ");
}

function describeLog(host: SimulatedHost): string {
  if (host.replica === undefined) return `${host.id} down`;
  const { first, last } = host.replica.status();
  const entries: string[] = [];
  for (let index = first; index <= last; index += 1) {
    const entry = host.replica.entry(index);
    if (entry !== undefined) entries.push(describeEntry(entry));
  }
  return `${host.id} [${entries.join(", ")}]`;
}
