// Failures that an interchange or a pool answers tasks with, in the form Parsl's submit side reads: a packed exception.
import { PickleWriter } from '../pickle.ts';
import { writeOutcome } from './item.ts';

/** Why a task fails without a result of its own. */
export type InterchangeFailure =
  | {
      readonly kind: 'manager lost';
      /** The pool's identity. */
      readonly manager: Uint8Array;
      readonly hostname: string;
      /** Seconds since the epoch. */
      readonly at: number;
    }
  /** Both in the form `py.v=3.11 parsl.v=2026.07.27`. */
  | { readonly kind: 'version mismatch'; readonly interchange: string; readonly manager: string }
  /** A pool's worker ended while it ran the task. */
  | { readonly kind: 'worker lost'; readonly worker: number; readonly hostname: string }
  /** Anything else: becomes Python's RuntimeError with this text. */
  | { readonly kind: 'message'; readonly text: string };

const writer = new PickleWriter();
const errorsModule = 'parsl.executors.high_throughput.errors';
const emptyTuple = 0x29;
const prefix = Buffer.from('02\n');

/** The item frame that answers `taskId`, or with -1 the whole run, with `failure`. */
export function writeFailure(taskId: number, failure: InterchangeFailure): Uint8Array {
  return writeOutcome({ taskId, isException: true, bytes: packFailure(failure) });
}

/** The `exception` of such an item: serializer id, line feed, pickle. */
export function packFailure(failure: InterchangeFailure): Uint8Array {
  writer.begin();
  writeException(failure);
  return Buffer.concat([prefix, writer.finish()]);
}

function writeException(failure: InterchangeFailure): void {
  switch (failure.kind) {
    case 'version mismatch':
      // This one travels bare.
      writer.global(errorsModule, 'VersionMismatch');
      writer.tupleStart();
      writer.text(failure.interchange);
      writer.text(failure.manager);
      writer.tupleEnd();
      writer.call();
      writer.dictStart();
      writer.text('interchange_version');
      writer.text(failure.interchange);
      writer.text('manager_version');
      writer.text(failure.manager);
      writer.dictEnd();
      writer.state();
      return;
    case 'manager lost':
      writeWrapper(errorsModule, 'ManagerLost', () => {
        writer.tupleStart();
        writer.byteString(failure.manager);
        writer.text(failure.hostname);
        writer.tupleEnd();
        writer.call();
        writer.dictStart();
        writer.text('manager_id');
        writer.byteString(failure.manager);
        writer.text('tstamp');
        writer.float(failure.at);
        writer.text('hostname');
        writer.text(failure.hostname);
        writer.dictEnd();
        writer.state();
      });
      return;
    case 'worker lost':
      writeWrapper(errorsModule, 'WorkerLost', () => {
        writer.tupleStart();
        writer.int(failure.worker);
        writer.text(failure.hostname);
        writer.tupleEnd();
        writer.call();
      });
      return;
    case 'message':
      writeWrapper('builtins', 'RuntimeError', () => {
        writer.tupleStart();
        writer.text(failure.text);
        writer.tupleEnd();
        writer.call();
      });
      return;
    default:
      failure satisfies never;
  }
}

/** Parsl's RemoteExceptionWrapper around an exception of the class; `finish` takes the class on the stack to the exception. */
function writeWrapper(module: string, name: string, finish: () => void): void {
  writer.global('parsl.app.errors', 'RemoteExceptionWrapper');
  writer.opcode(emptyTuple);
  writer.newObject();
  writer.dictStart();
  writer.text('e_type');
  writer.global(module, name);
  writer.text('e_value');
  writer.global(module, name);
  finish();
  writer.text('e_traceback');
  writer.none();
  writer.text('cause');
  writer.none();
  writer.dictEnd();
  writer.state();
}
