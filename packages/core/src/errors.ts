// Every failure that a user can meet is an `OnnxTsError`: it says what, where, why and what to do.

export type ErrorCode =
  /** The file is not a valid ONNX model: damaged bytes, a cycle, wrong types, sizes that overflow. */
  | 'INVALID_MODEL'
  /** A feed, an option or an argument is wrong. */
  | 'INVALID_INPUT'
  /** No operator of that name and version is known. */
  | 'UNKNOWN_OPERATOR'
  /** The operator is known, but not with these types, attributes or shapes. */
  | 'UNSUPPORTED'
  /** External data is missing, too short, or outside its folder. */
  | 'EXTERNAL_DATA'
  /** An index, axis or size read from data lies outside its range. */
  | 'OUT_OF_RANGE'
  | 'OUT_OF_MEMORY'
  | 'ABORTED'
  | 'DISPOSED'
  /** A provider could not be opened, or failed while running. */
  | 'PROVIDER'
  /** A bug in onnx-ts. */
  | 'INTERNAL';

/** Where an error happened. Everything that is known is filled in. */
export interface ErrorPlace {
  readonly node?: string;
  readonly op?: string;
  readonly domain?: string;
  readonly opset?: number;
  /** Operator that `op` was expanded to, whose input shapes are given. */
  readonly part?: string;
  readonly value?: string;
  readonly dtype?: string;
  readonly shapes?: readonly string[];
  readonly provider?: string;
  readonly path?: string;
}

const marker = Symbol.for('onnx-ts.error');

export class OnnxTsError extends Error {
  override readonly name = 'OnnxTsError';
  readonly code: ErrorCode;
  readonly place: ErrorPlace;
  /** What the caller can do about it. */
  readonly hint: string | undefined;
  readonly [marker] = true;

  constructor(
    code: ErrorCode,
    what: string,
    options: { readonly place?: ErrorPlace; readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    const { place = {}, hint, cause } = options;
    super(messageOf(what, place, hint), cause === undefined ? undefined : { cause });
    this.code = code;
    this.place = place;
    this.hint = hint;
  }

  /** Recognises errors of any copy of the package. */
  static is(value: unknown): value is OnnxTsError {
    return typeof value === 'object' && value !== null && marker in value;
  }
}

function messageOf(what: string, place: ErrorPlace, hint: string | undefined): string {
  const where: string[] = [];
  if (place.op !== undefined) {
    const domain = place.domain ? `${place.domain}.` : '';
    const opset = place.opset === undefined ? '' : ` (opset ${place.opset})`;
    const part = place.part === undefined ? '' : `, in its ${place.part}`;
    where.push(`${place.node ? `node "${place.node}", ` : ''}${domain}${place.op}${opset}${part}`);
  } else if (place.node) where.push(`node "${place.node}"`);
  if (place.value !== undefined) where.push(`value "${place.value}"`);
  if (place.dtype !== undefined) where.push(`dtype ${place.dtype}`);
  if (place.shapes?.length) where.push(`input shapes ${place.shapes.join(', ')}`);
  if (place.provider !== undefined) where.push(`provider ${place.provider}`);
  if (place.path !== undefined) where.push(`file ${place.path}`);
  return `${where.length > 0 ? `${where.join('; ')}: ` : ''}${what}${hint ? ` ${hint}` : ''}`;
}
