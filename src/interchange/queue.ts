// The tasks that wait for a manager, in Parsl's order. Each lane owns one; the scheduler takes from it.
import { Heap } from '../base/heap.ts';
import { runsBefore, type TaskRecord } from './task.ts';

/** So few answered tasks may stay among those that wait. */
const fewAnswered = 256;

const isQueued = (task: TaskRecord | undefined): boolean => task?.state === 'queued';

/**
 * A priority queue made for the usual case: most tasks come in the order in which they will leave (no priority, rising
 * ids), so those join the end of a sorted run in O(1); only the others pass through a heap. What leaves is the smaller
 * of the two heads. Tasks answered meanwhile (cancelled) stay in place, without their bytes, and are skipped; when they are
 * most of what is here, they are all let go of.
 */
export class TaskQueue {
  #run: (TaskRecord | undefined)[] = [];
  #runHead = 0;
  readonly #heap = new Heap<TaskRecord>(runsBefore);
  /** How many of those that are here were answered. */
  #answered = 0;

  push(task: TaskRecord): void {
    const run = this.#run;
    const last = run.length > this.#runHead ? run[run.length - 1] : undefined;
    if (last === undefined || runsBefore(last, task)) run.push(task);
    else this.#heap.push(task);
  }

  /** The task that leaves next, or `undefined` when none waits. */
  peek(): TaskRecord | undefined {
    const inRun = this.#peekRun();
    const inHeap = this.#peekHeap();
    if (inRun === undefined) return inHeap;
    if (inHeap === undefined || runsBefore(inRun, inHeap)) return inRun;
    return inHeap;
  }

  /** Takes the task that leaves next. */
  pop(): TaskRecord | undefined {
    const first = this.peek();
    if (first === undefined) return undefined;
    if (first === this.#run[this.#runHead]) this.#dropRunHead();
    else this.#heap.pop();
    return first;
  }

  /** Hears that a task which is here was answered. */
  noteAnswered(): void {
    this.#answered++;
    const waiting = this.#run.length - this.#runHead + this.#heap.size;
    if (this.#answered < fewAnswered || this.#answered * 2 < waiting) return;
    this.#run = this.#run.slice(this.#runHead).filter(isQueued);
    this.#runHead = 0;
    this.#heap.keep(isQueued);
    this.#answered = 0;
  }

  #peekRun(): TaskRecord | undefined {
    for (;;) {
      const task = this.#run[this.#runHead];
      if (task === undefined || task.state === 'queued') return task;
      this.#answered--;
      this.#dropRunHead();
    }
  }

  #peekHeap(): TaskRecord | undefined {
    for (;;) {
      const task = this.#heap.peek();
      if (task === undefined || task.state === 'queued') return task;
      this.#answered--;
      this.#heap.pop();
    }
  }

  #dropRunHead(): void {
    const run = this.#run;
    run[this.#runHead++] = undefined;
    if (this.#runHead === run.length) {
      run.length = 0;
      this.#runHead = 0;
    } else if (this.#runHead >= 1024 && this.#runHead * 2 >= run.length) {
      this.#run = run.slice(this.#runHead);
      this.#runHead = 0;
    }
  }
}
