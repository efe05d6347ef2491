// Cases that are stored with their expected outputs, in ONNX's own form: a model beside inputs and outputs as messages.

/** One set of inputs and expected outputs, as encoded TensorProto, SequenceProto, OptionalProto or MapProto. */
export interface StoredDataSet {
  /** By position among the model's inputs without an initializer. */
  readonly inputs: readonly (Uint8Array | undefined)[];
  /** By position among the model's outputs; undefined for one that is not compared. */
  readonly outputs: readonly (Uint8Array | undefined)[];
}

export interface StoredData {
  readonly model: Uint8Array;
  readonly dataSets: readonly StoredDataSet[];
}

export interface StoredTolerance {
  /** A float may be `relative` times the expected magnitude plus `absolute` off. */
  readonly relative: number;
  readonly absolute: number;
  /** Steps that an integer may be off. */
  readonly integers?: number;
}

/** What ONNX's own runner of backend tests allows. */
export const onnxTolerance: StoredTolerance = { relative: 1e-3, absolute: 1e-7 };

export interface StoredCase {
  readonly name: string;
  readonly tolerance?: StoredTolerance;
  /** Where known, what the case is about: `domain:name`. */
  readonly op?: string;
  /** @throws Error when it cannot be had */
  load(): Promise<StoredData>;
}
