// The public face of Chervil: what users import.
export { app, apps, type ModuleApps } from './app/app.ts';
export { bashApp } from './app/bash-app.ts';
export { type Joinable, type JoinOptions, joinApp } from './app/join-app.ts';
export {
  type AnyPythonFunction,
  type PythonApp,
  type PythonAppMaker,
  type PythonAppOf,
  type PythonOptions,
  type PythonSourceOptions,
  pythonApp,
} from './app/python-app.ts';
export type { SchemaIssue, SchemaResult, StandardSchema, ValueOf } from './app/schema.ts';
export { asCompleted, type Completed, type StreamOptions, stream } from './app/streams.ts';
export type * from './app/types.ts';
export { type PythonWrapperMaker, pythonWrapper, type WrapperOptions, wrapper } from './app/wrapper.ts';
export type { Clock, Duration } from './base/time.ts';
export {
  type BlockErrorHandler,
  ignoreBlockErrors,
  simpleBlockErrors,
  windowedBlockErrors,
} from './blocks/handlers.ts';
export { type Launcher, simpleLauncher, singleNodeLauncher, wrappedLauncher } from './blocks/launchers.ts';
export { type LocalOptions, local } from './blocks/local.ts';
export type { JobOptions, JobState, JobStatus, Provider } from './blocks/provider.ts';
export { type Htex, type HtexOptions, htex } from './executors/htex.ts';
export { type InlineOptions, inline } from './executors/inline.ts';
export { type ThreadsOptions, threads } from './executors/threads.ts';
export {
  type AppRecord,
  AUTO_LOGNAME,
  type RetryContext,
  type RetryPolicy,
  type StreamOption,
} from './kernel/app-record.ts';
export { type BackoffOptions, backoff } from './kernel/backoff.ts';
export type { AutoLogname, NameLog } from './kernel/elaborators/files.ts';
export type { MemoOption } from './kernel/elaborators/memo.ts';
export { defaultCost } from './kernel/elaborators/retry.ts';
export type { NodeWrapper, Wrapper } from './kernel/elaborators/wrap.ts';
export { type MemoKeyPart, memoHook } from './kernel/memo/key-hooks.ts';
export { type Elaborator, type ElaboratorMaker, go, type Step } from './kernel/path.ts';
export * from './load/config.ts';
export type { RunEvents } from './load/events.ts';
export { type LoadOptions, load } from './load/load.ts';
export { Run, type RunSummary, type UnseenFailure } from './load/run.ts';
export { channels, type OutputEvent, type RunEvent, type TaskEvent } from './task/channels.ts';
export { Command, sh } from './task/command.ts';
export * from './task/errors.ts';
export { File, file, Output, output } from './task/file.ts';
export type { Future } from './task/future.ts';
export { type Keywords, keywords } from './task/keywords.ts';
export { fail, type Outcome, succeed } from './task/outcome.ts';
export type { Answer, Attempt, Executor, ExecutorHost, Place } from './task/ports.ts';
export { type StateCounts, type TaskState, taskStates } from './task/state.ts';
export { type Serializer, serializer } from './wire/values.ts';
