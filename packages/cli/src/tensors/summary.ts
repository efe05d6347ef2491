// A value in a line or a few, for people.

import { type HostValue, Tensor } from '@onnx-ts/core';
import { decodeElements } from './elements.ts';

const shownValues = 8;

/** Lines without the value's name. */
export function summarize(value: HostValue, indent = ''): string {
  if (Tensor.is(value)) return `${indent}${tensorSummary(value)}`;
  const inner = `${indent}  `;
  const list = (head: string, items: readonly string[]): string => {
    const more = items.length > shownValues ? [`${inner}… ${items.length - shownValues} more`] : [];
    return [`${indent}${head}`, ...items.slice(0, shownValues), ...more].join('\n');
  };
  switch (value.kind) {
    case 'sequence':
      return list(
        `sequence of ${value.items.length}`,
        value.items.map((item) => summarize(item, inner)),
      );
    case 'optional':
      return value.value === undefined ? `${indent}empty optional` : summarize(value.value, indent);
    case 'map': {
      const entries = [...value.entries].map(([key, item]) => {
        const text = typeof item === 'object' ? summarize(item, inner).trimStart() : String(item);
        return `${inner}${typeof key === 'string' ? JSON.stringify(key) : key}: ${text}`;
      });
      return list(`map of ${value.entries.size}`, entries);
    }
    case 'sparse-tensor':
      return `${indent}sparse ${value.values.type}[${value.dims.join(', ')}] with ${value.values.size} values`;
  }
}

function tensorSummary(tensor: Tensor): string {
  const head = `${tensor.type}[${tensor.dims.join(', ')}]`;
  const elements = decodeElements(tensor) as ArrayLike<number | bigint | string>;
  const count = elements.length;
  if (count === 0) return `${head}  no elements`;
  const first = Array.from({ length: Math.min(count, shownValues) }, (_, at) => elementText(elements[at]));
  const values = `${first.join(', ')}${count > shownValues ? ', …' : ''}`;
  const isScalarLike =
    count === 1 || tensor.type === 'string' || tensor.type === 'bool' || tensor.type.startsWith('complex');
  return isScalarLike
    ? `${head}  ${values}`
    : `${head}  ${statisticsText(elements as ArrayLike<number | bigint>)}  ${values}`;
}

function statisticsText(elements: ArrayLike<number | bigint>): string {
  let [least, greatest, sum, nans] = [Infinity, -Infinity, 0, 0];
  for (let at = 0; at < elements.length; at++) {
    const value = Number(elements[at]);
    if (Number.isNaN(value)) nans++;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
    sum += value;
  }
  if (nans > 0) return `${nans} NaN`;
  return `min ${numberText(least)}  max ${numberText(greatest)}  mean ${numberText(sum / elements.length)}`;
}

function elementText(value: number | bigint | string): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'bigint' ? String(value) : numberText(value);
}

function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}
