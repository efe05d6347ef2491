// Fast Fourier transforms on the host, in double precision, for any length.

/** Complex numbers, real and imaginary parts apart. */
export interface ComplexLine {
  readonly real: Float64Array;
  readonly imaginary: Float64Array;
}

export function complexLine(length: number): ComplexLine {
  return { real: new Float64Array(length), imaginary: new Float64Array(length) };
}

/** Transforms of one length: out[k] = Σ in[n] · e^(∓2πi·nk/length), in place. The inverse is not divided by the length. */
export class Transform {
  readonly length: number;
  readonly #convolution: Convolution | undefined;

  constructor(length: number) {
    this.length = length;
    const isPowerOfTwo = (length & (length - 1)) === 0;
    this.#convolution = isPowerOfTwo ? undefined : new Convolution(length);
  }

  run(line: ComplexLine, isInverse: boolean): void {
    if (this.length < 2) return;
    // The inverse is the forward transform with the parts exchanged.
    const [real, imaginary] = isInverse ? [line.imaginary, line.real] : [line.real, line.imaginary];
    if (this.#convolution) this.#convolution.run({ real, imaginary });
    else radix2({ real, imaginary });
  }
}

/** Forward transform of a power-of-two length: Cooley and Tukey's, in place. */
function radix2({ real, imaginary }: ComplexLine): void {
  const { length } = real;
  for (let at = 1, reversed = 0; at < length; at++) {
    let bit = length >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed ^= bit;
    if (at < reversed) {
      [real[at], real[reversed]] = [real[reversed], real[at]];
      [imaginary[at], imaginary[reversed]] = [imaginary[reversed], imaginary[at]];
    }
  }
  for (let half = 1; half < length; half *= 2) {
    for (let k = 0; k < half; k++) {
      const angle = (-Math.PI * k) / half;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      for (let top = k; top < length; top += 2 * half) {
        const bottom = top + half;
        const re = real[bottom] * cos - imaginary[bottom] * sin;
        const im = real[bottom] * sin + imaginary[bottom] * cos;
        real[bottom] = real[top] - re;
        imaginary[bottom] = imaginary[top] - im;
        real[top] += re;
        imaginary[top] += im;
      }
    }
  }
}

/** Bluestein's algorithm: a transform of any length as a convolution of a power-of-two length. */
class Convolution {
  readonly #length: number;
  readonly #size: number;
  /** e^(−πi·n²/length) */
  readonly #chirp: ComplexLine;
  /** Transform of the conjugate chirp, wrapped around. */
  readonly #filter: ComplexLine;

  constructor(length: number) {
    this.#length = length;
    let size = 1;
    while (size < 2 * length - 1) size *= 2;
    this.#size = size;
    this.#chirp = complexLine(length);
    this.#filter = complexLine(size);
    for (let n = 0; n < length; n++) {
      // n² modulo 2 · length keeps the angle exact for long lines.
      const angle = (-Math.PI * ((n * n) % (2 * length))) / length;
      this.#chirp.real[n] = Math.cos(angle);
      this.#chirp.imaginary[n] = Math.sin(angle);
      for (const at of n === 0 ? [0] : [n, size - n]) {
        this.#filter.real[at] = Math.cos(angle);
        this.#filter.imaginary[at] = -Math.sin(angle);
      }
    }
    radix2(this.#filter);
  }

  run({ real, imaginary }: ComplexLine): void {
    const [length, size] = [this.#length, this.#size];
    const [chirp, filter] = [this.#chirp, this.#filter];
    const work = complexLine(size);
    for (let n = 0; n < length; n++) {
      work.real[n] = real[n] * chirp.real[n] - imaginary[n] * chirp.imaginary[n];
      work.imaginary[n] = real[n] * chirp.imaginary[n] + imaginary[n] * chirp.real[n];
    }
    radix2(work);
    for (let n = 0; n < size; n++) {
      const re = work.real[n] * filter.real[n] - work.imaginary[n] * filter.imaginary[n];
      work.imaginary[n] = work.real[n] * filter.imaginary[n] + work.imaginary[n] * filter.real[n];
      work.real[n] = re;
    }
    radix2({ real: work.imaginary, imaginary: work.real });
    for (let n = 0; n < length; n++) {
      const [re, im] = [work.real[n] / size, work.imaginary[n] / size];
      real[n] = re * chirp.real[n] - im * chirp.imaginary[n];
      imaginary[n] = re * chirp.imaginary[n] + im * chirp.real[n];
    }
  }
}
