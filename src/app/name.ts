// The name of an app: its function's own, or that of the variable that holds the app.
import { declaredName } from './capture.ts';

// biome-ignore lint/complexity/noBannedTypes: any function of the user
export function nameOf(run: Function): string {
  return run.name || declaredName(run) || 'app';
}
