#!/usr/bin/env node
// The executable: everything it does is in cli.ts, so that tests and scripts can call it in-process.

import { runCli } from './cli.ts';

// `onnx-ts … | head` closes the pipe early: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2));
