// How to start another script of this package as a child process, from the sources as well as from dist/.

import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ChildScript {
  readonly path: string;
  readonly execArgv: string[];
}

/** The script of that name beside the module. */
export function siblingScript(moduleUrl: string, name: string): ChildScript {
  const extension = extname(new URL(moduleUrl).pathname);
  const fromSource = extension === '.ts';
  return {
    path: fileURLToPath(new URL(`./${name}${extension}`, moduleUrl)),
    execArgv: fromSource ? ['--conditions=@onnx-ts/source', '--disable-warning=ExperimentalWarning'] : [],
  };
}
