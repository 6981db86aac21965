// Time and chance as the node's inside has them: handed in, so that the very code that runs in a process
// runs under a simulator's virtual time. Nothing between disk, network and HTTP asks the system for either.

/** Something that will happen, unless it is closed before. */
export interface Timer {
  close(): unknown;
}

export interface Clock {
  /** Monotonic, in ms. Deadlines, ages and timeouts are in it: a wall clock that is set must move none of them. */
  nowMs(): number;
  /** The wall clock, in ms since the epoch: for the dates that people read, and for nothing that decides. */
  wallMs(): number;
  /** Runs `work` after the inputs at hand have been taken in. */
  soon(work: () => void): void;
  later(ms: number, work: () => void): Timer;
  /** Uniform in [0, 1). */
  random(): number;
  /** Identifiers are made of these; nobody can guess them. */
  randomBytes(count: number): Uint8Array;
}

export function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.later(ms, resolve);
  });
}

/** Lets others have their turn of the event loop. */
export function giveWay(clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    clock.soon(resolve);
  });
}

/** Runs `work` again and again, the first time after `ms`, until the timer is closed. */
export function every(clock: Clock, ms: number, work: () => void): Timer {
  let timer: Timer | undefined;
  let isClosed = false;
  const again = (): void => {
    timer = clock.later(ms, () => {
      work();
      if (!isClosed) again();
    });
  };
  again();
  return {
    close() {
      isClosed = true;
      timer?.close();
    },
  };
}
