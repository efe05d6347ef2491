import { expect, it } from 'vitest';
import { complexLine, Transform } from './fft.ts';

it.each([1, 2, 3, 8, 10, 17, 60, 64, 97])('agrees with the definition for length %i', (length) => {
  const line = complexLine(length);
  for (let n = 0; n < length; n++) {
    line.real[n] = Math.sin(n * 1.7) + n / length;
    line.imaginary[n] = Math.cos(n * 0.3);
  }
  for (const isInverse of [false, true]) {
    const expected = Array.from({ length }, (_, k) => {
      let [re, im] = [0, 0];
      for (let n = 0; n < length; n++) {
        const angle = ((isInverse ? 2 : -2) * Math.PI * ((n * k) % length)) / length;
        re += line.real[n] * Math.cos(angle) - line.imaginary[n] * Math.sin(angle);
        im += line.real[n] * Math.sin(angle) + line.imaginary[n] * Math.cos(angle);
      }
      return { re, im };
    });
    const result = { real: line.real.slice(), imaginary: line.imaginary.slice() };
    new Transform(length).run(result, isInverse);
    expected.forEach(({ re, im }, k) => {
      expect(result.real[k]).toBeCloseTo(re, 9);
      expect(result.imaginary[k]).toBeCloseTo(im, 9);
    });
  }
});
