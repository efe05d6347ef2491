// Numbers as text and back, as Cast to and from strings has it: the shortest decimals that round to the number, in the
// notation of NumPy.

/**
 * Shortest decimal text of a number in a format that `round` rounds to. Has an exponent outside 10^−4 … 10^16, and a
 * fraction otherwise: `0.25`, `3.0`, `1e-05`, `nan`, `-inf`.
 */
export function decimalText(x: number, round: (x: number) => number): string {
  if (Number.isNaN(x)) return 'nan';
  if (!Number.isFinite(x)) return x < 0 ? '-inf' : 'inf';
  const sign = x < 0 || Object.is(x, -0) ? '-' : '';
  const size = Math.abs(x);
  let text = '';
  for (let digits = 0; digits < 17; digits++) {
    text = size.toExponential(digits);
    if (round(Number(text)) === size) break;
  }
  const even = halfToEven(size, text);
  if (round(Number(even)) === size) text = even;
  const [mantissa, power] = text.split('e');
  const exponent = Number(power);
  const digits = mantissa.replace('.', '');
  return sign + (exponent < -4 || exponent >= 16 ? scientific(digits, exponent) : positional(digits, exponent));
}

/** Of two decimals that are equally near, JavaScript rounds to the larger one, and NumPy to the even one. */
function halfToEven(size: number, text: string): string {
  const [mantissa, power] = text.split('e');
  // All digits: a number in the middle between two short decimals has few.
  const exact = size.toExponential(100);
  const [kept, rest] = [exact.slice(0, mantissa.length), exact.slice(mantissa.length, exact.indexOf('e'))];
  const isHalf = /^\.?50*$/.test(rest) && exact.endsWith(`e${power}`);
  return isHalf && Number(kept.at(-1)) % 2 === 0 ? `${kept}e${power}` : text;
}

function scientific(digits: string, exponent: number): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
  const power = String(Math.abs(exponent)).padStart(2, '0');
  return `${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${power}`;
}

function positional(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** A real number from plain or scientific notation, or INF or NAN in any case; undefined for other text. */
export function parseReal(text: string): number | undefined {
  const trimmed = text.trim();
  const special = /^([+-]?)(inf(?:inity)?|nan)$/i.exec(trimmed);
  if (special) return /^n/i.test(special[2]) ? NaN : special[1] === '-' ? -Infinity : Infinity;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed)) return undefined;
  return Number(trimmed);
}

/** An integer, or the whole part of a real number; undefined for other text. */
export function parseInteger(text: string): bigint | undefined {
  const trimmed = text.trim();
  if (/^\+?\d+$/.test(trimmed)) return BigInt(trimmed.replace('+', ''));
  if (/^-\d+$/.test(trimmed)) return BigInt(trimmed);
  const real = parseReal(trimmed);
  return real !== undefined && Number.isFinite(real) ? BigInt(Math.trunc(real)) : undefined;
}
