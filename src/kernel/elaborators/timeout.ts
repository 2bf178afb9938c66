// timeout: puts the limit of one try on the task. The executor counts it from the start of the body, and kills what runs longer.
import { type Elaborator, go } from '../path.ts';

export function timeout(): Elaborator {
  return {
    name: 'timeout',
    concerns: (app) => app.timeoutMs > 0,
    enter(task) {
      task.note().timeoutMs = task.record.timeoutMs;
      return go;
    },
  };
}
