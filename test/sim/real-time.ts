// Nothing in a run may read the real clock or real randomness, or no seed would run the same way twice. While
// simulated code runs, every such source is a leak: it is reported, and throws.

import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import timersPromises from "node:timers/promises";

/** The real one, for the simulator's own turns. */
export const realTurn = setImmediate;

let isInside = false;
let report: (source: string) => void = () => undefined;
let isInstalled = false;

export function enterSimulation(onLeak: (source: string) => void): void {
  install();
  report = onLeak;
  isInside = true;
}

export function leaveSimulation(): void {
  isInside = false;
}

function leak(source: string): void {
  report(source);
  throw new Error(`simulated code used ${source}`);
}

type Anything = (...parts: readonly unknown[]) => unknown;

/** Puts a guard before a function of an object, for good: outside a simulation it changes nothing. */
function guard(owner: object, name: string, source: string): void {
  const real = Reflect.get(owner, name) as Anything;
  const guarded = function (this: unknown, ...parts: readonly unknown[]): unknown {
    if (isInside) leak(source);
    return Reflect.apply(real, this === undefined ? owner : this, parts);
  };
  // Such as how it is promisified.
  for (const extra of Object.getOwnPropertySymbols(real)) {
    Object.defineProperty(guarded, extra, Object.getOwnPropertyDescriptor(real, extra) ?? {});
  }
  Object.defineProperty(owner, name, { value: guarded, configurable: true, writable: true });
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const name of ["setTimeout", "setInterval", "setImmediate"]) guard(globalThis, name, name);
  guard(Math, "random", "Math.random");
  guard(performance, "now", "performance.now");
  guard(process, "hrtime", "process.hrtime");
  for (const name of ["randomBytes", "randomUUID", "randomInt", "randomFillSync"]) {
    guard(crypto, name, `crypto.${name}`);
  }
  for (const name of ["setTimeout", "setImmediate"]) guard(timersPromises, name, `timers/promises.${name}`);
  syncBuiltinESMExports();
  const RealDate = Date;
  globalThis.Date = new Proxy(RealDate, {
    construct(target, parts: unknown[], newTarget) {
      if (isInside && parts.length === 0) leak("new Date()");
      return Reflect.construct(target, parts, newTarget) as object;
    },
    apply() {
      if (isInside) leak("Date()");
      return RealDate();
    },
    get(target, name, receiver) {
      if (name === "now" && isInside) leak("Date.now");
      return Reflect.get(target, name, receiver) as unknown;
    },
  });
}
