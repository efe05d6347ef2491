/** What core uses of Node, where it is there. */
export interface NodeModules {
  readonly crypto: typeof import('node:crypto');
  readonly fs: typeof import('node:fs');
  readonly path: typeof import('node:path');
  readonly url: typeof import('node:url');
}

/** Node's modules without an import that bundlers for browsers would stumble over. */
export function nodeModules(): NodeModules | undefined {
  const get = (globalThis as { process?: { getBuiltinModule?: (id: string) => unknown } }).process?.getBuiltinModule;
  if (!get) return undefined;
  // Each is loaded when it is asked for.
  return {
    get crypto() {
      return get('node:crypto') as NodeModules['crypto'];
    },
    get fs() {
      return get('node:fs') as NodeModules['fs'];
    },
    get path() {
      return get('node:path') as NodeModules['path'];
    },
    get url() {
      return get('node:url') as NodeModules['url'];
    },
  };
}
