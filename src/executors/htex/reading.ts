// Frames of the interchange, taken apart: outcomes of tasks, notes about them, and where and when their bodies ran. For the executor.
import {
  entry,
  hasRun,
  isExceptionEntry,
  isResultBatch,
  type RanHead,
  readRan,
  readResults,
} from '../../wire/messages/batch.ts';
import { type Outcome, readAnswer } from '../../wire/messages/item.ts';

/** Who takes what is read. */
export interface AnswerSink {
  onOutcome(outcome: Outcome): void;
  onNote(taskId: number, bytes: Uint8Array): void;
  /** A body ran of which nothing was told while it did; its outcome follows. */
  onRan(taskId: number, frame: Uint8Array, ran: RanHead): void;
  onUnreadable(reason: string): void;
}

/** Reads a frame with one answer or with many. */
export function readFrame(frame: Uint8Array, sink: AnswerSink): void {
  if (isResultBatch(frame)) {
    readBatch(frame, sink);
    return;
  }
  const read = readAnswer(frame);
  if (!read.ok) sink.onUnreadable(read.error);
  else if (read.value.type === 'note') sink.onNote(read.value.taskId, read.value.bytes);
  else sink.onOutcome(read.value);
}

function readBatch(frame: Uint8Array, sink: AnswerSink): void {
  const read = readResults(frame);
  if (!read.ok) {
    sink.onUnreadable(read.error);
    return;
  }
  const { ids, whats, starts, ends } = read.value;
  for (let index = 0; index < ids.length; index++) {
    const taskId = ids[index] as number;
    const what = whats[index] as number;
    let start = starts[index];
    if (hasRun(what)) {
      const ran = readRan(read.value, index);
      start = ran.end;
      sink.onRan(taskId, frame, ran);
    }
    const bytes = frame.subarray(start, ends[index]);
    if (what === entry.note) sink.onNote(taskId, bytes);
    else sink.onOutcome({ taskId, isException: isExceptionEntry(what), bytes });
  }
}
