// What the caller fixes: nodes that must run on one provider.

import { OnnxTsError } from '../errors.ts';
import type { GraphNode } from '../graph/graph.ts';
import { placeOf } from '../ops/context.ts';
import type { SupportTable } from './support.ts';

/** Nodes of this name and operator, whichever is given, run on that provider. */
export interface PlacementPin {
  /** Id of a provider. */
  readonly provider: string;
  /** A node's name, or a pattern that it matches. */
  readonly node?: string | RegExp;
  /** Operators, with the domain before a colon when it is not ai.onnx: `MatMul`, `com.microsoft:Attention`. */
  readonly op?: string | RegExp;
}

const fits = (wanted: string | RegExp | undefined, text: string): boolean =>
  wanted === undefined || (typeof wanted === 'string' ? wanted === text : text.search(wanted) >= 0);

/**
 * Tells the position of the provider that a node must run on; the first pin that fits it decides.
 * @throws OnnxTsError INVALID_INPUT for a provider that is not open; when asked, UNSUPPORTED for a node that its provider
 * cannot run
 */
export function readPins(
  pins: readonly PlacementPin[],
  supports: SupportTable,
): (node: GraphNode) => number | undefined {
  const ids = supports.providers.map(({ id }) => id);
  for (const { provider } of pins) {
    if (ids.includes(provider)) continue;
    throw new OnnxTsError('INVALID_INPUT', `a pin names the provider "${provider}", which this session has not.`, {
      hint: `Its providers are ${ids.join(', ')}. One that cannot be used here cannot have pins.`,
    });
  }
  return (node) => {
    const op = node.domain ? `${node.domain}:${node.op}` : node.op;
    const pin = pins.find((candidate) => fits(candidate.node, node.name) && fits(candidate.op, op));
    if (!pin) return undefined;
    const at = ids.indexOf(pin.provider);
    const support = supports.of(node, at);
    if (support.ok) return at;
    throw new OnnxTsError('UNSUPPORTED', `it is pinned to a provider that cannot run it: ${support.reason}.`, {
      place: { ...placeOf(node), provider: pin.provider },
      hint: 'Leave it out of the pins.',
    });
  };
}
