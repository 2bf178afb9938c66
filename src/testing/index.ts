// `chervil/testing`: for those who write executors and elaborators of their own. The conformance suite that every executor
// passes, and fakes of what the kernel gives them.
export { type AttemptOptions, attemptOf, referenceTo } from './attempt.ts';
export { FakeClock } from './clock.ts';
export { type ConformanceOptions, conformance, type Supports, type TestLike } from './conformance.ts';
export { FakeHost, type Report } from './host.ts';
