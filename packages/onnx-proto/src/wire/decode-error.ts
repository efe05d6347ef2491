/** Thrown for bytes that are not a well-formed message: truncated, of absurd lengths, nested too deeply, … */
export class ProtoDecodeError extends Error {
  override readonly name = 'ProtoDecodeError';
  /** Where decoding stopped, in bytes from the start of the bytes given to the decoder. */
  readonly offset: number;

  constructor(reason: string, offset: number, options?: ErrorOptions) {
    super(`not a readable protobuf message: ${reason} (at byte ${offset})`, options);
    this.offset = offset;
  }
}
