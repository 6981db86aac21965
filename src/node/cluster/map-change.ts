// A change of the shard map against others who change it, and from a node whose own map may lag: every
// proposal names the epoch that it was made from, and one that came too late is made anew from the map that
// was there first.

import { Mem0ctlError } from "../../model/errors.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { checkShardMap } from "../../topology/shard-map.ts";
import type { MapCommand, MapResult } from "../meta/meta-machine.ts";

const ATTEMPTS_MAX = 10;
/**
 * Only asks: no map was ever made from that epoch, and it is refused with the map that holds. It brings none along: it is
 * asked again and again while something is waited for, each time through the log.
 */
const QUESTION: MapCommand = { from: -1, map: null };

/**
 * Makes `change` of the newest map, and resolves with the map that holds then. `change` gives back the very
 * map that it got when there is nothing to do; that is believed of the newest map only, which the metadata
 * group has, and not of `known`, which this node has heard of.
 * @throws Mem0ctlError `map-contended`, `map-unsound`, or what `propose` throws.
 */
export async function changeOfMap(
  known: ShardMap,
  change: (map: ShardMap) => ShardMap,
  propose: (command: MapCommand) => Promise<MapResult>,
): Promise<ShardMap> {
  let map = known;
  let isNewest = false;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    // A node that has just joined knows no map at all.
    const wanted = map.epoch === 0 ? map : change(map);
    if (wanted === map && isNewest) return map;
    if (wanted !== map) refuseUnsound(wanted);
    const result = await propose(wanted === map ? QUESTION : { from: map.epoch, map: wanted });
    // Refused at a second try after a lost answer, it may be the very map that is wanted.
    const isWanted = wanted !== map && JSON.stringify(result.map) === JSON.stringify(wanted);
    if (result.accepted || isWanted) return result.map;
    ({ map } = result);
    isNewest = true;
  }
  throw new Mem0ctlError("conflict", "map-contended", "the shard map was changed by others again and again", {
    hint: "try again when the other operation is over",
  });
}

/** The last look before a map becomes everyone's: one with a gap would lose keys. */
function refuseUnsound(map: ShardMap): void {
  const problems = checkShardMap(map);
  if (problems.length === 0) return;
  throw new Mem0ctlError("failed", "map-unsound", "the shard map that this change would make is not sound", {
    why: problems.slice(0, 3).join("; "),
    hint: "nothing was changed; this is a defect of mem0ctl",
  });
}
