// Attention whose scores never are in memory as a whole.

import type { Attention } from '@onnx-ts/tensor-ir/attention';
import type { ShaderTarget } from '../../emit/target.ts';
import type { Dispatch } from '../dispatch.ts';
import { dispatchRowAttention } from './emit-row-attention.ts';
import { dispatchTiledAttention } from './emit-tiled-attention.ts';

export function compileAttention(attention: Attention, target: ShaderTarget): Dispatch[] {
  return target.isSoftware ? [dispatchRowAttention(attention, target)] : dispatchTiledAttention(attention, target);
}
