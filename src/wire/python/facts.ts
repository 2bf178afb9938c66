// What a pool of ours must know of a Python task beside its buffer, which is in Parsl's form and has no place for it: an entry
// `chervil` of the task's context. Parsl's own pools pass over it.
import { dict, field, type PickleValue, toNumber } from '../pickle.ts';

/** What a call says beside its function and arguments. */
export interface PythonFacts {
  /** 0 is without limit. */
  readonly timeoutMs: number;
  /** Whether somebody wants to know when the body starts. */
  readonly isTold: boolean;
  /** Whether somebody wants to see what the body prints. */
  readonly wantsOutput: boolean;
  /** Whether a large result may be left in a file, as wire/value-files has it. */
  readonly takesFiles?: boolean;
}

/** The entry, to be put into a context. */
export function writePythonFacts(facts: PythonFacts): Record<string, PickleValue> {
  const { timeoutMs, isTold, wantsOutput, takesFiles = false } = facts;
  return { chervil: dict({ timeout_ms: timeoutMs, told: isTold, output: wantsOutput, files: takesFiles }) };
}

/** What stands in a context; tasks of Parsl's have nothing there. */
export function readPythonFacts(context: PickleValue): PythonFacts | undefined {
  const facts = field(context, 'chervil');
  if (facts === undefined) return undefined;
  return {
    timeoutMs: toNumber(field(facts, 'timeout_ms')) ?? 0,
    isTold: field(facts, 'told') === true,
    wantsOutput: field(facts, 'output') === true,
    takesFiles: field(facts, 'files') === true,
  };
}
