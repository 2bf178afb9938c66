// Why a function cannot be sent: one form for all messages, the way that leads to the thing first.
// Called by collect.ts and text.ts.
import { ClosureError } from '../../task/errors.ts';

export const problemApp = 'it is an app, and a task cannot call apps';
export const adviceApp = 'Call the plain function instead, or use joinApp().';
export const adviceModule = 'Move the function to a module and use apps().';
export const advicePass = 'Pass it as an argument, or move the function to a module and use apps().';

/** Refuses a captured value. `problem` ends with what to do for such a value. */
export function refuseValue({ way, place }: { way: string; place: string }, path: string, problem: string): never {
  throw new ClosureError(
    `${way} uses ${quote(path)} from ${place}: ${problem} Or move the function to a module and use apps().`,
  );
}

function quote(path: string): string {
  return `"${path.replaceAll('"', "'")}"`;
}

/**
 * Refuses a function. `what` names it, or what it uses: `inside() uses "n" from pi.ts:4`.
 */
export function refuse(what: string, why: string, advice: string): never {
  const uses = / uses "/.test(what);
  const sentence = uses ? (why ? `${what}: ${why}` : what) : `${what || 'The function'} cannot be sent: ${why}`;
  throw new ClosureError(`${sentence}. ${advice}`);
}
