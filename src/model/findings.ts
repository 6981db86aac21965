// What validation finds, as data. The text is made where the finding is made; how it is shown
// (terminal, JSON, GitHub annotations) is render's business.

export type Severity = "error" | "warning";

export interface Finding {
  /** Stable, kebab-case, never reused; tests assert codes. */
  readonly code: string;
  readonly severity: Severity;
  /** Dotted path in the manifest, e.g. `spec.nodes[1].address`; empty for the document itself. */
  readonly path: string;
  /** 1-based; 0 when the finding has no place in a text (a manifest built in code). */
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** What to do. */
  readonly hint?: string;
}
