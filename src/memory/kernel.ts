// WebAssembly that was compiled into the project as base64 (.config/wasm.mjs): one compilation, as many instances as are
// asked for.

export const PAGE_BYTES = 65_536;

/** Grows by whole pages, which detaches the buffer before. */
export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

// The part of WebAssembly's own interface that is used here: Node's types for version 20 leave it to the
// browser's, which a server program must not see.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
};

const compiled = new Map<string, object>();

/** What a new instance exports, with a memory of its own. Throws RangeError where no memory is left for it. */
export function instantiate<Exports extends object>(base64: string): Exports {
  let module = compiled.get(base64);
  if (module === undefined) {
    module = new WebAssembly.Module(Buffer.from(base64, "base64"));
    compiled.set(base64, module);
  }
  return new WebAssembly.Instance(module).exports as Exports;
}
