// htex(): the executor from a laptop to a cluster. Workers are processes of their own, in pools, in blocks that a provider starts.
import { type BlockErrorHandler, simpleBlockErrors } from '../blocks/handlers.ts';
import { local } from '../blocks/local.ts';
import type { Provider } from '../blocks/provider.ts';
import { Blocks } from '../blocks/scaler.ts';
import type { Executor } from '../task/ports.ts';
import { HtexExecutor } from './htex/executor.ts';
import { type HtexSettings, settleHtex } from './htex/options.ts';

/** Options of {@link htex}. */
export type HtexOptions<Label extends string = string> = HtexSettings<Label, Provider, BlockErrorHandler>;

/**
 * An executor whose workers are processes, on this machine or on the nodes of a cluster: Parsl's High Throughput Executor. Without
 * options: one block on this machine, with a worker for each core.
 *
 * @throws ConfigError for wrong options, all of them at once
 * @example
 * await using run = await load({ executors: [htex({ maxWorkersPerNode: 4 })] });
 */
export function htex<const Label extends string = 'htex'>(
  options: HtexOptions<Label> = {},
): Executor & { readonly label: Label } {
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
  return executor as unknown as Executor & { readonly label: Label };
}
