import type { Command } from 'commander';
export function addInspectCommand(_program: Command, _finish?: (code: number) => void): void {}
