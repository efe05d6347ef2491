// Recurrent networks.

export * as recurrent from '../recurrent.ts';
