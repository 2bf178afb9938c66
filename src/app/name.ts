// The name of an app: its function's own, or that of the variable that holds the app: `const simulate = app(() => …)`.
import { declaredName } from './capture.ts';

/** Looked up once for an app, at its first call. */
export function nameOf(run: CallableFunction): string {
  return run.name || declaredName(run) || 'app';
}
