// retry: sends a failed task down again while its policy allows. Everything below here is redone in each try, nothing above.
import { milliseconds } from '../../base/time.ts';
import { RetryPolicyError, type TaskError } from '../../task/errors.ts';
import { fail } from '../../task/outcome.ts';
import type { RetryPolicy } from '../app-record.ts';
import { type Elaborator, go, type Step } from '../path.ts';
import type { Task } from '../task.ts';

/** @param general the policy of apps that have none of their own */
export function retry(general: RetryPolicy | undefined): () => Elaborator {
  return () => ({
    name: 'retry',
    concerns: (app) => (app.retry ?? general) !== undefined,
    leave(task, outcome) {
      if (outcome.ok || task.isInterrupted) return go;
      const error = outcome.error as TaskError;
      // What a body awaited in vain had its own tries.
      if (error.code === 'JOIN') return go;
      return decide(task, error, (task.record.retry ?? general) as RetryPolicy);
    },
  });
}

function decide(task: Task, error: TaskError, policy: RetryPolicy): Step {
  const notes = task.note();
  const spent = notes.spent ?? 0;
  const isLoss = error.code === 'WORKER_LOST' || error.code === 'MANAGER_LOST';
  const losses = notes.losses ?? 0;
  const isFree = isLoss && losses < (policy.losses ?? 0);
  let delayMs: number;
  try {
    const cost = isFree ? 0 : checked((policy.cost ?? defaultCost)(error, contextOf(task, spent)), 'cost');
    if (isLoss) notes.losses = losses + 1;
    notes.spent = spent + cost;
    if (notes.spent > (policy.budget ?? 0) || cost === Number.POSITIVE_INFINITY) return go;
    const { delay = 0 } = policy;
    delayMs = checked(typeof delay === 'function' ? delay(task.tryNumber + 1) : milliseconds(delay), 'delay');
  } catch (thrown) {
    return { do: 'answer', outcome: fail(new RetryPolicyError(thrown, error)) };
  }
  return { do: 'again', afterMs: delayMs };
}

function contextOf(task: Task, spent: number): Parameters<NonNullable<RetryPolicy['cost']>>[1] {
  return { taskId: task.id, app: task.app, tries: task.tryNumber + 1, spent, args: task.args };
}

function checked(value: unknown, what: string): number {
  if (typeof value !== 'number' || Number.isNaN(value) || value < 0) {
    throw new TypeError(`its ${what} must be a number from 0 to Infinity, not ${String(value)}`);
  }
  return value;
}

/** 1, and without end for what another try cannot mend: a value that cannot be sent, a function that is not there. */
export function defaultCost(error: TaskError): number {
  return hopeless.has(error.code) ? Number.POSITIVE_INFINITY : 1;
}

const hopeless: ReadonlySet<TaskError['code']> = new Set([
  'SERIALIZATION',
  'DESERIALIZATION',
  'FUNCTION_NOT_FOUND',
  'FILE_NOT_FOUND',
  'STAGING',
  'BASH_NO_COMMAND',
  'UNSUPPORTED',
] as const);
