import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode, dict, encode, type PickleValue, PyGlobal, PyObject, PyTuple } from '#src/wire/pickle.js';
import { isRemoteException, type PythonFailure, readPythonFailure } from '#src/wire/python-failures.js';
import { exceptions } from './pickle-samples.ts';

function sample(name: string): PickleValue {
  const bytes = exceptions.find((each) => each.name === name)!.bytes;
  const result = decode(bytes);
  assert.ok(result.ok);
  return result.value;
}

function failure(value: PickleValue): PythonFailure {
  const result = readPythonFailure(value);
  assert.ok(result.ok, result.ok ? '' : result.error);
  return result.value;
}

function hex(text: string): PickleValue {
  const result = decode(Buffer.from(text, 'hex'));
  assert.ok(result.ok);
  return result.value;
}

const chain = `Traceback (most recent call last):
  File "/srv/run/apps.py", line 9, in outer
  File "/srv/run/apps.py", line 6, in inner
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/run/main.py", line 7, in wrap
  File "/srv/run/apps.py", line 11, in outer
KeyError: 'lost'`;

describe('exceptions from Python', () => {
  test('a wrapped exception has its type, message, traceback and cause, whether dill or pickle wrote it', () => {
    for (const name of ['chain', 'chain-plain']) {
      const read = failure(sample(name));
      assert.equal(read.text, chain);
      assert.equal(read.type, 'KeyError');
      assert.equal(read.message, "'lost'");
      assert.deepEqual(read.about, { kind: 'raised' });
      assert.equal(read.cause?.type, 'ZeroDivisionError');
      assert.deepEqual(read.frames.at(-1), { file: '/srv/run/apps.py', line: 11, function: 'outer' });
    }
  });

  test('an exception that tblib pickled carries its own traceback and cause', () => {
    const read = failure(sample('support'));
    assert.equal(read.type, 'KeyError');
    assert.equal(read.cause?.message, 'division by zero');
    assert.match(read.text, /line 6, in inner\nZeroDivisionError: division by zero\n\nThe above exception/);
  });

  test('a lost manager and a lost worker are told with their names', () => {
    const { timestamp, ...manager } = failure(sample('ManagerLost')).about as { timestamp: number };
    assert.deepEqual(manager, { kind: 'managerLost', manager: 'abcdef012345', hostname: 'node1' });
    assert.ok(timestamp > 1.7e9);
    assert.deepEqual(failure(sample('WorkerLost')).about, { kind: 'workerLost', worker: 3, hostname: 'nid0012' });
    assert.match(failure(sample('WorkerLost')).message, /worker 3 on nid0012 was lost/);
  });

  test('a version mismatch comes bare, with both versions', () => {
    const mismatch = new PyObject(
      'call',
      new PyGlobal('parsl.executors.high_throughput.errors', 'VersionMismatch'),
      new PyTuple(['py.v=3.11', 'py.v=3.12']),
    );
    assert.deepEqual(failure(mismatch).about, {
      kind: 'versionMismatch',
      interchangeVersion: 'py.v=3.11',
      managerVersion: 'py.v=3.12',
    });
  });

  test('a bare exception, a system error, a class of the main program, one without a message', () => {
    assert.equal(failure(sample('bare')).text, "ValueError: ('bare', 1)");
    assert.equal(failure(sample('os')).message, "[Errno 2] No such file or directory: '/no/such/file'");
    assert.match(failure(sample('local')).text, /\n__main__\.Local: from main$/);
    assert.equal(failure(sample('empty')).text, 'RuntimeError');
    assert.deepEqual(failure(sample('odd')).attributes, new Map([['b', [1, 2]]]));
  });

  test('the hand-written wrappers that Python accepts are read the same way', () => {
    const wrapper = hex(
      '80048c10706172736c2e6170702e6572726f72738c1652656d6f7465457863657074696f6e577261707065729329817d288c06655f747970658c086275696c74696e738c0a56616c75654572726f72938c07655f76616c75658c086275696c74696e738c0a56616c75654572726f72938c0f66726f6d205479706553637269707485528c0b655f74726163656261636b4e8c0563617573654e75622e',
    );
    assert.ok(isRemoteException(wrapper));
    assert.equal(failure(wrapper).text, 'ValueError: from TypeScript');
    assert.ok(!isRemoteException(sample('bare')));
  });

  test('what is no exception gives a sentence instead', () => {
    for (const value of [
      1,
      null,
      [1],
      dict({}),
      new PyObject('new', new PyGlobal('parsl.app.errors', 'RemoteExceptionWrapper'), new PyTuple([])),
    ]) {
      const result = readPythonFailure(value as PickleValue);
      assert.ok(!result.ok && /not as an exception/.test(result.error));
    }
  });

  test('a traceback or a chain of causes without end is cut', () => {
    const traceback = new PyObject('new', new PyGlobal('tblib', 'Traceback'), new PyTuple([]));
    traceback.steps.push({ do: 'state', state: dict({ tb_lineno: 1, tb_next: traceback }) });
    const wrapper = new PyObject('new', new PyGlobal('parsl.app.errors', 'RemoteExceptionWrapper'), new PyTuple([]));
    const value = new PyObject('call', new PyGlobal('builtins', 'ValueError'), new PyTuple(['x'.repeat(1_000_000)]));
    wrapper.steps.push({
      do: 'state',
      state: dict({ e_type: value.callee, e_value: value, e_traceback: traceback, cause: wrapper }),
    });
    const again = decode(encode(wrapper));
    assert.ok(again.ok);
    const read = failure(again.value);
    assert.equal(read.frames.length, 200);
    assert.equal(read.framesLeftOut, 9_800);
    assert.match(read.text, /\.\.\. 9800 more frames \.\.\./);
    let causes = 0;
    for (let at = read.cause; at !== undefined; at = at.cause) causes++;
    assert.equal(causes, 19);
  });
});
