import type { DescribedField, DescribedMessage } from '../scripts/descriptor.mjs';

export type PlainMessage = Record<string, unknown>;

const EDGES = [0n, 1n, 127n, 128n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n];

/** Messages with random fields, in the form that the encoders take; `chance` gives numbers in [0, 1). */
export function randomMessage(
  messages: readonly DescribedMessage[],
  path: string,
  chance: () => number,
  depth = 0,
): PlainMessage {
  const { fields, oneofs } = messages.find((message) => message.path === path)!;
  const pick = (count: number): number => Math.floor(chance() * count);

  const scalar = (field: DescribedField): unknown => {
    if (field.message) return randomMessage(messages, field.message, chance, depth + 1);
    switch (field.wire) {
      case 'string':
        return ['', 'a', 'größe', '入力🙂', 'x'.repeat(pick(400))][pick(5)];
      case 'bytes':
        return Uint8Array.from({ length: pick(2) * pick(600) }, () => pick(256));
      case 'float':
        return Math.fround((chance() - 0.5) * 1e6);
      case 'double':
        return (chance() - 0.5) * 1e200;
      case 'int32':
        return ((chance() - 0.5) * 2 ** (1 + pick(32))) | 0;
      case 'uint64':
        return BigInt.asUintN(64, EDGES[pick(EDGES.length)] * (pick(2) === 0 ? 1n : -1n));
      case 'int64': {
        const wide = EDGES[pick(EDGES.length)] * (pick(2) === 0 ? 1n : -1n);
        return field.bigint ? wide : Number(wide % 2n ** 53n);
      }
      default:
        throw new Error(`no random value for ${field.wire}`);
    }
  };

  const result: PlainMessage = {};
  const chosen = Object.fromEntries(Object.values(oneofs).map((members) => [members[pick(members.length)], true]));
  const inOneof = new Set(Object.values(oneofs).flat());
  for (const field of fields) {
    if (inOneof.has(field.name) && !chosen[field.name]) continue;
    if (chance() > (field.message ? 0.5 / (1 + depth) : 0.5)) continue;
    const list = () => Array.from({ length: 1 + pick(3) }, () => scalar(field));
    result[field.name] = field.repeated ? list() : scalar(field);
  }
  return result;
}
