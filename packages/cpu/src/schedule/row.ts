import type { IndexAnalysis, Kernel } from '@onnx-ts/tensor-ir';
import type { ScheduledPhase } from './scheduled.ts';
export function scheduleRows(_analysis: IndexAnalysis, _kernel: Kernel): ScheduledPhase[] {
  throw new TypeError('todo');
}
