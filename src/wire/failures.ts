// Failures that cross: what went wrong on a worker, as data, and as an error again where the task was called.
//
//   worker  failureFromThrown(thrown) -> RemoteError   AppError   failureToData -> postMessage or toBytes
//   caller  failureFromData -> TaskError, whose cause is errorFromRemote(remote)
export { failureFromData, failureToData } from './failures/codes.ts';
export { errorFromRemote, failureFromThrown, type ThrownContext } from './failures/remote.ts';
