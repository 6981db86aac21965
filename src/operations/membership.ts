// Nodes that come and go, in the manifest as well: what is not written there does not survive the next `up`. The text
// keeps its comments, and is checked as a whole before anything is changed.

import { dirname } from "node:path";

import type { NodeInput } from "../manifest/builder.ts";
import { addNodeToManifest, removeNodeFromManifest, setDrainingInManifest } from "../manifest/edit.ts";
import { parseManifest } from "../manifest/parse.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { MapNode } from "../model/shard-map.ts";
import type { ManifestFile } from "./manifest-file.ts";

export interface EditedManifest {
  readonly text: string;
  readonly manifest: Manifest;
  /** false: the text had it so already. */
  readonly changed: boolean;
}

/**
 * The manifest with one more node; as it is when it has that very node already.
 * @throws Mem0ctlError `duplicate-node-id` (conflict) when it has another one of that id, `manifest-invalid` when it
 *   would not be a sound manifest with it.
 */
export function withNode(file: ManifestFile, node: NodeInput): EditedManifest {
  const known = file.manifest?.nodes.find(({ id }) => id === node.id);
  if (file.manifest !== undefined && known?.address === node.address) {
    return { text: file.text, manifest: file.manifest, changed: false };
  }
  return checked(file.file, addNodeToManifest(file.text, node));
}

/** The manifest without a node; as it is when it has none of that id. @throws as `withNode`. */
export function withoutNode(file: ManifestFile, id: NodeId): EditedManifest {
  if (file.manifest !== undefined && !file.manifest.nodes.some((node) => node.id === id)) {
    return { text: file.text, manifest: file.manifest, changed: false };
  }
  return checked(file.file, removeNodeFromManifest(file.text, id));
}

/** The manifest in which a node shall hold nothing, or may hold something again. @throws as `withNode`. */
export function withDraining(file: ManifestFile, id: NodeId, draining: boolean): EditedManifest {
  const known = file.manifest?.nodes.find((node) => node.id === id);
  if (file.manifest !== undefined && known !== undefined && (known.draining ?? false) === draining) {
    return { text: file.text, manifest: file.manifest, changed: false };
  }
  return checked(file.file, setDrainingInManifest(file.text, id, draining));
}

function checked(file: string, text: string): EditedManifest {
  const { manifest, findings } = parseManifest(text, { file, baseDir: dirname(file) });
  if (manifest !== undefined) return { text, manifest, changed: true };
  const [first] = findings.filter(({ severity }) => severity === "error");
  throw new Mem0ctlError("invalid", "manifest-invalid", "the manifest would not be sound with this change", {
    why: first?.message ?? "it would hold no manifest",
    hint: first?.hint ?? "change the manifest by hand and check it with `mem0ctl validate`",
    data: { file, findings },
  });
}

/** A node of the manifest as the shard map has it. */
export function mapNodeOf({ id, address, role, zone, weight, draining }: NodeSpec): MapNode {
  return { id, address, role, zone, weight, draining: draining === true };
}
