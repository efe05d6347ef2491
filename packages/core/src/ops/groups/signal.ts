// Signal processing.

export * as signal from '../signal.ts';
