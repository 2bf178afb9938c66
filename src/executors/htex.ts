// htex(): the executor from a laptop to a cluster. Workers are processes of their own, in pools, in blocks that a provider starts.
import { type BlockErrorHandler, simpleBlockErrors } from '../blocks/handlers.ts';
import { local } from '../blocks/local.ts';
import type { Provider } from '../blocks/provider.ts';
import { Blocks } from '../blocks/scaler.ts';
import type { Executor } from '../task/ports.ts';
import type { ManagerLine } from '../wire/messages/command.ts';
import { type BlockLine, HtexExecutor } from './htex/executor.ts';
import { type HtexSettings, settleHtex } from './htex/options.ts';

/** Options of {@link htex}. */
export type HtexOptions<Label extends string = string> = HtexSettings<Label, Provider, BlockErrorHandler>;

/** The executor that {@link htex} gives: also what can be asked and told while it runs. */
export interface Htex<Label extends string = string> extends Executor {
  readonly label: Label;
  /** The pools that are there, with their workers, tasks and versions. */
  managers(): Promise<ManagerLine[]>;
  /** For each pool the packages that it has, with their versions. */
  packages(): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>>;
  /** Gives a pool no more tasks; those that it has go on. */
  hold(manager: string): Promise<void>;
  /** The same for all pools of a block. */
  holdBlock(blockId: string): Promise<void>;
  /** All blocks so far, in order, with the state of their jobs. */
  blocks(): readonly BlockLine[];
  /** Ids of all blocks whose pools have ever come. */
  connectedBlocks(): Promise<ReadonlySet<string>>;
  /** The command of a pool, to be run by hand on any machine that reaches this one. @param blockId @default 'by-hand' */
  poolCommand(blockId?: string): string;
}

/**
 * An executor whose workers are processes, on this machine or on the nodes of a cluster: Parsl's High Throughput Executor. Without
 * options: one block on this machine, with a worker for each core.
 *
 * @throws ConfigError for wrong options, all of them at once
 * @example
 * await using run = await load({ executors: [htex({ maxWorkersPerNode: 4 })] });
 */
export function htex<const Label extends string = 'htex'>(options: HtexOptions<Label> = {}): Htex<Label> {
  const settled = settleHtex<Provider, BlockErrorHandler>(options, {
    provider: local,
    onBlockError: simpleBlockErrors,
  });
  const executor = new HtexExecutor(settled, (side, facts) => {
    const { blocks, parallelism, strategy, maxIdleMs, strategyPeriodMs, onBlockError, provider } = settled;
    return new Blocks(side, provider, {
      ...blocks,
      ...facts,
      parallelism,
      strategy,
      maxIdleMs,
      periodMs: strategyPeriodMs,
      onError: onBlockError,
    });
  });
  return executor as unknown as Htex<Label>;
}
