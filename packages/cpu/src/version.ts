/** The package's version, which artifacts are kept under. */
export const version = '0.1.0';
