// What can be said of a block before it is there: how many workers it is going to have. And what a task may ask of workers.
import type { BlockShape } from './options.ts';

/** What decides about the workers of a node. */
export interface WorkerPlan {
  readonly maxWorkersPerNode: number | undefined;
  readonly coresPerWorker: number;
  readonly memoryPerWorker: number | undefined;
  readonly accelerators: readonly string[];
}

/**
 * Workers of one block, as far as they can be known: the least that the limit, cores, memory and accelerators allow, times the nodes; one
 * for each node where nothing is known. Pools count for themselves when they start.
 *
 * @example
 * slotsOfBlock({ ...plan, coresPerWorker: 4 }, { nodesPerBlock: 1, coresPerNode: 8 }); // 2
 */
export function slotsOfBlock(plan: WorkerPlan, shape: BlockShape): number {
  const { maxWorkersPerNode, coresPerWorker, memoryPerWorker, accelerators } = plan;
  const limits = [
    maxWorkersPerNode,
    shape.coresPerNode === undefined ? undefined : Math.floor(shape.coresPerNode / coresPerWorker),
    shape.memoryPerNode === undefined || memoryPerWorker === undefined
      ? undefined
      : Math.floor(shape.memoryPerNode / memoryPerWorker),
    accelerators.length > 0 ? accelerators.length : undefined,
  ].filter((limit) => limit !== undefined);
  const least = Math.min(...limits);
  return Math.max(1, least === Number.POSITIVE_INFINITY ? 1 : least) * shape.nodesPerBlock;
}

/** What is wrong with the resources of a task; `undefined`: nothing. `priority` is all there is: lower numbers run earlier. */
export function refusalOf(resources: Readonly<Record<string, unknown>>): string | undefined {
  const unknown = Object.keys(resources).filter((key) => key !== 'priority');
  if (unknown.length > 0)
    return `htex() knows the resource 'priority' only, and not ${unknown.map((key) => `'${key}'`).join(', ')}`;
  const { priority } = resources;
  if (priority === undefined || (typeof priority === 'number' && !Number.isNaN(priority))) return undefined;
  return `the resource 'priority' must be a number (lower ones run earlier), and is ${String(priority)}`;
}
