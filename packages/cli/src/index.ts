// What scripts may build on: the command itself, in-process, and the reader and writer of .npy files.

export { runCli } from './cli.ts';
export { readNpy, writeNpy } from './tensors/npy.ts';
