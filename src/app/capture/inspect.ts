// What V8's inspector tells of a function of this thread: where it stands, and the variables that it can see.
// Called by collect.ts and script.ts. The debugger part slows every `await` while it is enabled (ten times on Node 20),
// so it is enabled only to learn of scripts that are not known yet, and disabled at once.
import { Session } from 'node:inspector';

/** A script that V8 has compiled. */
export interface ScriptText {
  readonly id: string;
  /** Empty for `new Function` and the like. */
  readonly url: string;
  /** As it runs: types are gone. */
  readonly source: string;
  readonly isModule: boolean;
  /** Of its source map; a `data:` URL where the loader made it in memory; empty if there is none. */
  readonly sourceMapUrl: string;
}

/** The variables of one scope, as real values. Reading one that is not initialised yet throws on Node 24. */
export interface VisibleScope {
  readonly isGlobal: boolean;
  readonly values: Readonly<Record<string, unknown>>;
}

/** What a function closes over. */
export interface Closure {
  readonly scriptId: string;
  /** From 0. */
  readonly line: number;
  /** From 0. */
  readonly column: number;
  /** Innermost first. */
  readonly scopes: readonly VisibleScope[];
}

/** One look into the running program. Close it in the same turn of the event loop. */
export interface Inspection {
  /** Undefined for native and bound functions. */
  closureOf(fn: CallableFunction): Closure | undefined;
  /** @throws Error if V8 does not know the script. */
  scriptText(id: string): ScriptText;
  close(): void;
}

/** What passes between this file and the expressions that the inspector evaluates. */
const handOver: { fn: unknown; scopes: { description: string; object: Record<string, unknown> }[] } = {
  fn: undefined,
  scopes: [],
};
const handOverKey = 'chervil.capture.handOver';
const handOverText = `globalThis[Symbol.for('${handOverKey}')]`;

const known = new Map<string, ScriptText>();

/** Opens the inspector of this thread. */
export function openInspection(): Inspection {
  const session = new Session();
  session.connect();
  const globals = globalThis as Record<symbol, unknown>;
  globals[Symbol.for(handOverKey)] = handOver;

  return {
    closureOf(fn) {
      handOver.fn = fn;
      const { result } = ask(session, 'Runtime.evaluate', {
        expression: `${handOverText}.fn`,
        objectGroup: handOverKey,
      }) as {
        result: { objectId: string };
      };
      const { internalProperties = [] } = ask(session, 'Runtime.getProperties', {
        objectId: result.objectId,
        ownProperties: true,
      }) as { internalProperties?: InternalProperty[] };
      const location = internalProperties.find(({ name }) => name === '[[FunctionLocation]]')?.value.value;
      const list = internalProperties.find(({ name }) => name === '[[Scopes]]')?.value.objectId;
      if (location === undefined || list === undefined) return undefined;
      ask(session, 'Runtime.callFunctionOn', {
        objectId: list,
        functionDeclaration: `function () { ${handOverText}.scopes = Array.from(this, ({ description, object }) => ({ description, object })); }`,
      });
      return {
        scriptId: location.scriptId,
        line: location.lineNumber,
        column: location.columnNumber,
        scopes: handOver.scopes.map(({ description, object }) => ({
          isGlobal: description === 'Global',
          values: object,
        })),
      };
    },
    scriptText(id) {
      if (!known.has(id)) learnScript(session, id);
      const script = known.get(id);
      if (script === undefined) throw new Error(`V8 does not know script ${id}.`);
      return script;
    },
    close() {
      ask(session, 'Runtime.releaseObjectGroup', { objectGroup: handOverKey });
      session.disconnect();
      handOver.fn = undefined;
      handOver.scopes = [];
      delete globals[Symbol.for(handOverKey)];
    },
  };
}

interface InternalProperty {
  readonly name: string;
  readonly value: {
    readonly objectId?: string;
    readonly value?: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber: number };
  };
}

function learnScript(session: Session, id: string): void {
  let found: { url: string; isModule?: boolean | undefined; sourceMapURL?: string | undefined } | undefined;
  session.on('Debugger.scriptParsed', ({ params }) => {
    if (params.scriptId === id) found = params;
  });
  ask(session, 'Debugger.enable');
  try {
    if (found === undefined) return;
    const { scriptSource } = ask(session, 'Debugger.getScriptSource', { scriptId: id }) as { scriptSource: string };
    known.set(id, {
      id,
      url: found.url,
      source: scriptSource,
      isModule: found.isModule ?? false,
      sourceMapUrl: found.sourceMapURL ?? '',
    });
  } finally {
    ask(session, 'Debugger.disable');
    session.removeAllListeners('Debugger.scriptParsed');
  }
}

/** Asks the inspector of the own thread, which answers before `post` returns. */
function ask(session: Session, method: string, params: object = {}): unknown {
  let failure: Error | null = null;
  let answer: unknown;
  session.post(method, params, (error, result) => {
    failure = error;
    answer = result;
  });
  if (failure !== null) throw failure;
  return answer;
}
