/** The name of an enum's value, such as `FLOAT16` of `enumName(TensorDataType, 10)`; its number where it has none. */
export function enumName(values: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(values).find((name) => values[name] === value) ?? String(value);
}
