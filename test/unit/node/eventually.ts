import { vi } from "vitest";

/** What is asserted comes to pass before long; on a machine with much else to do that is more than a second. */
export function eventually<Value>(assertion: () => Value | Promise<Value>): Promise<Value> {
  return vi.waitFor(assertion, { timeout: 15_000, interval: 10 });
}
