// Sequences and optionals.

export * as sequence from '../sequence.ts';
