import type { Command } from 'commander';
export function addExplainCommand(_program: Command, _finish?: (code: number) => void): void {}
