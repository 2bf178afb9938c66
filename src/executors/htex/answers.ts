// What came back for a task, as the kernel wants it: values and failures of Node workers, and the failures that the interchange makes.
import { DeserializationError } from '../../task/errors.ts';
import type { Answer } from '../../task/ports.ts';
import { failureFromData } from '../../wire/failures.ts';
import type { Outcome } from '../../wire/messages/item.ts';
import { fromBytes } from '../../wire/values.ts';
import { type Asked, isPythonPayload, pythonAnswer, pythonError } from './python-answers.ts';

/** The answer of an outcome; a promise only if a class must be loaded for its value. Never throws, never rejects. */
export function answerOf(outcome: Outcome, label: string, asked?: Asked): Answer | Promise<Answer> {
  const { bytes, isException } = outcome;
  try {
    if (!isException && asked?.body.kind === 'python') return pythonAnswer(bytes, label, asked);
    if (isException && isPythonPayload(bytes)) return { ok: false, error: pythonError(bytes, label, asked) };
    const value = fromBytes(bytes);
    if (isException) return value instanceof Promise ? value.then(failure, unreadable) : failure(value);
    return value instanceof Promise
      ? value.then((ready): Answer => ({ ok: true, value: ready }), unreadable)
      : { ok: true, value };
  } catch (thrown) {
    return unreadable(thrown);
  }
}

function failure(data: unknown): Answer {
  return { ok: false, error: failureFromData(data) };
}

function unreadable(thrown: unknown): Answer {
  if (thrown instanceof DeserializationError) return { ok: false, error: thrown };
  const message = `The result of the task cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  return { ok: false, error: new DeserializationError(message, { cause: thrown }) };
}
