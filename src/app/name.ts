// The name of an app: its function's own, or that of the variable that holds the app: `const simulate = app(() => …)`.
import { openInspection } from './capture/inspect.ts';
import { findCallable, readScript } from './capture/script.ts';

/** Looked up once for an app, at its first call. */
export function nameOf(run: CallableFunction): string {
  return run.name || declaredName(run) || 'app';
}

/** `const simulate = app(`, `export const simulate = await something.joinApp(`, `simulate: bashApp(`, up to the function. */
const declaration = /(?:([\w$]+)\s*(?::[^=;{}]*)?=|([\w$]+)\s*:)\s*(?:await\s+)?(?:[\w$]+\.)*\(?(?:0\s*,\s*)?[\w$.]+\)?(?:<[^()]*>)?\(\s*(?:\/\*[^*]*\*\/\s*)?$/;

function declaredName(run: CallableFunction): string | undefined {
  const inspection = openInspection();
  try {
    const closure = inspection.closureOf(run);
    if (closure === undefined) return undefined;
    const script = readScript(inspection.scriptText(closure.scriptId));
    const found = findCallable(script, closure, run.toString());
    if (found === undefined) return undefined;
    const match = declaration.exec(script.source.slice(Math.max(0, found.start - 300), found.start));
    return match?.[1] ?? match?.[2];
  } catch {
    // Only a name is lost: what is wrong with the function, `capture` says.
    return undefined;
  } finally {
    inspection.close();
  }
}
