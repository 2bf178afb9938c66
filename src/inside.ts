// `chervil/task`: what the body of an app can know of its task, and say about it.
export { type TaskFacts, task } from './worker/task.ts';
