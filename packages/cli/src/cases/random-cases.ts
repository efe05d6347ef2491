// Cases of ONNX's backend tests that no runtime can reproduce.

/**
 * Their expected outputs came out of NumPy's random generator. ONNX asks for a distribution, not for that generator, so only
 * types and shapes can be compared.
 */
const randomCases: ReadonlySet<string> = new Set([
  'test_bernoulli',
  'test_bernoulli_double',
  'test_bernoulli_double_expanded',
  'test_bernoulli_expanded',
  'test_bernoulli_seed',
  'test_bernoulli_seed_expanded',
  'test_training_dropout',
  'test_training_dropout_default',
  'test_training_dropout_mask',
]);

/** `name` is the case's folder; what follows `__` is the ONNX release that shipped it. */
export function isRandomCase(name: string): boolean {
  return randomCases.has(name.replace(/__v[\d.]+$/, ''));
}
