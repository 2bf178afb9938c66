// Tasks whose code has not come yet: they wait here, and the pool asks the interchange for what they need, once for each file. The core
// calls these.
import { hostname } from 'node:os';
import { FunctionNotFoundError } from '../task/errors.ts';
import { callParts, isNodeCall } from '../wire/calls.ts';
import { codeNames } from '../wire/code-names.ts';
import type { PoolEffect } from './events.ts';
import { fail, type PoolState, type PoolTask } from './state.ts';

/** Whether all code of a task is here. If not, the task waits, and what is missing is asked for. */
export function hasCode(state: PoolState, effects: PoolEffect[], task: PoolTask): boolean {
  const names = namesOf(task);
  let isHere = true;
  for (const name of names) {
    const known = state.code.get(name);
    if (known === 'here') continue;
    isHere = false;
    if (known === 'asked') continue;
    state.code.set(name, 'asked');
    effects.push({ do: 'ask for code', name });
  }
  if (!isHere) state.parked.push(task);
  return isHere;
}

/** A file came; or there is none, and its tasks fail. */
export function onCode(state: PoolState, effects: PoolEffect[], name: string, problem: string | undefined): void {
  // Asked for again by the next task that needs it.
  if (problem === undefined) state.code.set(name, 'here');
  else state.code.delete(name);
  const parked = state.parked;
  state.parked = [];
  for (const task of parked) {
    // A cancelled one was answered meanwhile.
    if (state.tasks.get(task.taskId) !== task) continue;
    const names = namesOf(task);
    if (problem !== undefined && names.includes(name)) {
      fail(
        state,
        effects,
        task,
        new FunctionNotFoundError(name, `The code of the task is not on ${hostname()}: ${problem}.`),
      );
    } else if (names.every((each) => state.code.get(each) === 'here')) {
      state.queue.push(task);
    } else {
      state.parked.push(task);
    }
  }
}

/** The connection broke: what was asked for may never come. */
export function askAgain(state: PoolState, effects: PoolEffect[]): void {
  for (const [name, known] of state.code) if (known === 'asked') effects.push({ do: 'ask for code', name });
}

function namesOf(task: PoolTask): readonly string[] {
  if (!isNodeCall(task.buffer)) return none;
  const { fn, isStored } = callParts(task.buffer);
  if (!isStored) return none;
  const reference = Buffer.from(fn.buffer, fn.byteOffset, fn.length).toString('latin1');
  let names = read.get(reference);
  if (names === undefined) {
    // Paths of functions in the run directory are none.
    names = codeNames(reference) ?? none;
    if (read.size >= mostRead) read.clear();
    read.set(reference, names);
  }
  return names;
}

/** The same few references come with every task. */
const read = new Map<string, readonly string[]>();
const mostRead = 1_000;
const none: readonly string[] = [];
