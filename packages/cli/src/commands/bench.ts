import type { Command } from 'commander';
export function addBenchCommand(_program: Command, _finish?: (code: number) => void): void {}
