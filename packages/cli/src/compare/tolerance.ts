// How far a float output may be from the expected one.

export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
  /** Bound of the mean absolute error of an output. */
  readonly meanAtol?: number;
}

/** Those of ONNX's own test runner. */
export const onnxTolerance: Tolerance = { rtol: 1e-3, atol: 1e-7 };

/**
 * A tolerance in the form of test folders: `{ rtol, atol, mean_atol }`, each optional.
 * @throws Error for entries that are no numbers
 */
export function parseTolerance(json: unknown, base: Tolerance, what: string): Tolerance {
  if (typeof json !== 'object' || json === null) throw new Error(`${what}: a tolerance must be an object`);
  const record = json as Readonly<Record<string, unknown>>;
  const number = (key: string): number | undefined => {
    const value = record[key];
    if (value !== undefined && !(typeof value === 'number' && value >= 0))
      throw new Error(`${what}: ${key} must be a number`);
    return value;
  };
  const meanAtol = number('mean_atol') ?? base.meanAtol;
  return {
    rtol: number('rtol') ?? base.rtol,
    atol: number('atol') ?? base.atol,
    ...(meanAtol !== undefined && { meanAtol }),
  };
}
