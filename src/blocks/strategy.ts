// How many blocks there should be: pure functions from what is seen to what is done. The table of cases is Parsl's.

/** `none` starts the first blocks and nothing more; `simple` ends blocks only when all is idle; `htex-auto-scale` also ends idle ones. */
export type StrategyName = 'none' | 'simple' | 'htex-auto-scale';

/** What a strategy looks at. */
export interface ScalingView {
  /** Tasks that are not answered. */
  readonly tasks: number;
  /** Blocks that run or are about to. */
  readonly active: number;
  readonly slotsPerBlock: number;
  readonly minBlocks: number;
  readonly maxBlocks: number;
  /** Slots for each task: 1 is one each, 0 at most one block. */
  readonly parallelism: number;
  readonly maxIdleMs: number;
  /** Since when there have been no tasks, in milliseconds. */
  readonly idleSince: number | undefined;
}

export type ScalingStep =
  | { readonly do: 'nothing' }
  | { readonly do: 'scale out'; readonly blocks: number }
  /** `onlyIdle`: blocks without tasks for longer than `maxIdleMs`. */
  | { readonly do: 'scale in'; readonly blocks: number; readonly onlyIdle: boolean };

export interface Decision {
  readonly step: ScalingStep;
  readonly idleSince: number | undefined;
}

const nothing: ScalingStep = { do: 'nothing' };

/** One look at an executor. The first blocks are not its business. */
export function decideScaling(strategy: StrategyName, view: ScalingView, now: number): Decision {
  const { tasks, active, slotsPerBlock, minBlocks, maxBlocks, parallelism, maxIdleMs } = view;
  if (strategy === 'none') return { step: nothing, idleSince: undefined };
  if (tasks === 0) {
    if (active <= minBlocks) return { step: nothing, idleSince: view.idleSince };
    const idleSince = view.idleSince ?? now;
    if (now - idleSince <= maxIdleMs) return { step: nothing, idleSince };
    return { step: { do: 'scale in', blocks: active - minBlocks, onlyIdle: false }, idleSince };
  }
  return { step: busyStep(strategy), idleSince: undefined };

  function busyStep(name: 'simple' | 'htex-auto-scale'): ScalingStep {
    const slots = active * slotsPerBlock;
    if (slots / tasks < parallelism) {
      if (active >= maxBlocks) return nothing;
      const blocks = Math.min(Math.ceil(Math.ceil(tasks * parallelism - slots) / slotsPerBlock), maxBlocks - active);
      return { do: 'scale out', blocks };
    }
    if (slots === 0) return active < maxBlocks ? { do: 'scale out', blocks: 1 } : nothing;
    if (slots > tasks && name === 'htex-auto-scale' && active > minBlocks) {
      const blocks = Math.min(Math.floor(Math.floor(slots - tasks * parallelism) / slotsPerBlock), active - minBlocks);
      return blocks > 0 ? { do: 'scale in', blocks, onlyIdle: true } : nothing;
    }
    return nothing;
  }
}
