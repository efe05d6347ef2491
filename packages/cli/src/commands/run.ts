import type { Command } from 'commander';
export function addRunCommand(_program: Command, _finish?: (code: number) => void): void {}
