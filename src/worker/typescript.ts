// TypeScript in worker threads. Where Node has no TypeScript of its own, the program runs under tsx, whose hooks on such a Node
// reach the main thread only; so a thread that is to import TypeScript gets them itself. Called by the threads executor.
import * as nodeModule from 'node:module';
import { isMainThread } from 'node:worker_threads';
import type { FunctionSource } from '../task/ports.ts';

/**
 * Makes this thread able to load the modules of functions. A promise only when there is something to do for that, which costs
 * some 100 ms once in a thread.
 *
 * @example
 * await prepareTypeScript([{ by: 'reference', module: 'file:///home/me/tasks.ts', export: 'count' }]);
 */
export function prepareTypeScript(sources: readonly FunctionSource[]): Promise<void> | undefined {
  if (prepared !== undefined || isAble || !sources.some(needsTypeScript)) return pending;
  prepared = registerLoader();
  pending = prepared.finally(() => {
    pending = undefined;
  });
  return pending;
}

let prepared: Promise<void> | undefined;
/** While it is being done. */
let pending: Promise<void> | undefined;

/** Node has TypeScript itself, or its hooks reach every thread, so that the program's own loader is here already. */
const isAble =
  isMainThread ||
  Boolean((process.features as { typescript?: unknown }).typescript) ||
  ('registerHooks' in nodeModule &&
    [...process.execArgv, process.env['NODE_OPTIONS']].some((one) => one?.includes('tsx')));

function needsTypeScript(source: FunctionSource): boolean {
  if (source.by === 'reference') return isTypeScript(source.module);
  return Object.values(source.imports).some(({ module, from }) => isTypeScript(module) || isTypeScript(from));
}

function isTypeScript(url: string): boolean {
  return /\.[cm]?tsx?(?:$|[?#])/.test(url);
}

async function registerLoader(): Promise<void> {
  const { register } = await import('tsx/esm/api');
  const common = await import('tsx/cjs/api');
  register();
  common.register();
}
