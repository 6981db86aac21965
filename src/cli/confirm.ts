// Asks before something is destroyed; `--yes` answers where nobody can be asked. Not a part of the context,
// so that only the commands that ask load what asks.

import { Mem0ctlError } from "../model/errors.ts";
import type { Context } from "./context.ts";
import { canAsk } from "./io.ts";

/** @throws Mem0ctlError `confirmation-needed` where `confirm` could not ask, before anything is done for it. */
export function refuseUnlessConfirmable({ globals, io }: Context, what: string): void {
  if (globals.yes === true || (globals.input !== false && canAsk(io))) return;
  throw new Mem0ctlError("invalid", "confirmation-needed", `${what}: refused without a yes`, {
    why: globals.input === false ? "--no-input forbids asking" : "there is no terminal to ask on",
    hint: "give --yes if that is what you want",
  });
}

/** True after a yes. @throws as refuseUnlessConfirmable; Mem0ctlError `interrupted`. */
export async function confirm(context: Context, what: string, question: string): Promise<boolean> {
  refuseUnlessConfirmable(context, what);
  if (context.globals.yes === true) return true;
  await context.say(what);
  const { askYesNo } = await import("./prompt.ts");
  return askYesNo(context.io, question);
}
