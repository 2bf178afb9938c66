// A Python worker alone, with this test in the place of its pool.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WorkerChild } from '#src/pool/child.js';
import type { Death } from '#src/pool/events.js';
import { fromWorker, readEnd, toWorker } from '#src/wire/link.js';
import { readItem } from '#src/wire/messages/item.js';
import { decodePrefix, dict, type PickleValue, PyTuple, toNumber } from '#src/wire/pickle.js';
import { pythonTemplate, writePythonCall } from '#src/wire/python/call.js';
import { writePythonFacts } from '#src/wire/python/facts.js';
import { readPythonJob } from '#src/wire/python/job.js';
import { readPythonFailure } from '#src/wire/python-failures.js';
import { newestRelease, parslOrSkip } from '../support/parsl.ts';
import { freshDirectory } from '../support/run.ts';

const program = fileURLToPath(new URL('../../dist/worker/worker.py', import.meta.url));

interface Frame {
  readonly what: number;
  readonly ticket: number;
  readonly bytes: Buffer;
}

const outcomes: readonly number[] = [fromWorker.value, fromWorker.failure];

/** A worker, what it has sent, and its end. */
class Bench {
  readonly child: WorkerChild;
  readonly frames: Frame[] = [];
  readonly directory = freshDirectory();
  death: Death | undefined;
  #wake: () => void = () => {};

  constructor(t: TestContext, python = 'python3', environment: Record<string, string> = {}) {
    mkdirSync(this.directory, { recursive: true });
    this.child = new WorkerChild({
      rank: 0,
      mark: `python-test-${process.pid}-${Math.random()}`,
      logDirectory: this.directory,
      environment: { PARSL_WORKER_RANK: '0', PARSL_WORKER_POOL_ID: 'bench', ...environment },
      command: [python, program],
      cores: undefined,
      onFrame: (what, ticket, bytes) => {
        this.frames.push({ what, ticket, bytes: Buffer.from(bytes) });
        this.#wake();
      },
      onTurn: () => {},
      onGone: (death) => {
        this.death = death;
        this.#wake();
      },
    });
    t.after(() => this.child.kill());
  }

  give(ticket: number, buffer: Uint8Array, context: PickleValue = new Map()): this {
    const job = readPythonJob(buffer, context);
    assert.ok(job.ok, job.ok ? '' : job.error);
    this.child.add(toWorker.job, ticket, job.value.bytes);
    this.child.flush();
    return this;
  }

  /** The first frame of this kind, past or to come. */
  async frame(what: number, ticket: number): Promise<Buffer> {
    for (;;) {
      const found = this.frames.find((one) => one.what === what && one.ticket === ticket);
      if (found !== undefined) return found.bytes;
      const other = this.frames.find((one) => one.ticket === ticket && outcomes.includes(one.what));
      assert.ok(other === undefined || !outcomes.includes(what), `it came to ${other?.bytes.toString('latin1')}`);
      assert.equal(this.death, undefined, `it ended: ${JSON.stringify(this.death)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What came of a job: the payload behind how it ended. */
  async payload(what: number, ticket: number): Promise<Buffer> {
    return readEnd(await this.frame(what, ticket)).bytes;
  }

  async value(ticket: number): Promise<PickleValue> {
    return unpacked(await this.payload(fromWorker.value, ticket));
  }
}

function unpacked(payload: Uint8Array): PickleValue {
  const decoded = decodePrefix(payload.subarray(payload.indexOf(0x0a) + 1));
  assert.ok(decoded.ok, 'it is a pickle');
  return decoded.value.value;
}

const ours = dict(writePythonFacts({ timeoutMs: 0, isTold: false, wantsOutput: true }));
const call = (module: string, name: string, ...args: unknown[]): Buffer =>
  writePythonCall(pythonTemplate({ by: 'python', module, name, code: undefined }), args, { id: 0, try: 0, app: name });
const text = (code: string, name: string, ...args: unknown[]): Buffer =>
  writePythonCall(pythonTemplate({ by: 'python', module: undefined, name, code }), args, { id: 0, try: 0, app: name });

describe('a Python worker', () => {
  it('says that it is ready, runs jobs in order, and keeps functions with what they remember', async (t) => {
    const bench = new Bench(t);
    await bench.frame(fromWorker.ready, 0);
    const count = 'seen = []\ndef count():\n    seen.append(1)\n    return len(seen)\n';
    for (let ticket = 1; ticket <= 200; ticket++) bench.give(ticket, text(count, 'count'), ours);
    assert.equal(await bench.value(200), 200);
    assert.deepEqual(
      bench.frames.filter(({ what }) => what === fromWorker.value).map(({ ticket }) => ticket),
      Array.from({ length: 200 }, (_, index) => index + 1),
    );
  });

  it('passes over what was taken back, and never runs what the pool was told it can have', async (t) => {
    const bench = new Bench(t);
    await bench.frame(fromWorker.ready, 0);
    bench.give(1, text('import time\ndef f():\n    time.sleep(0.3)\n', 'f'), ours);
    for (const ticket of [2, 3]) bench.give(ticket, call('math', 'hypot', 3, 4), ours);
    const begun = bench.child.takeBack(2, 2);
    assert.ok(begun < 2, `it has begun ${begun}`);
    assert.equal(toNumber(await bench.value(3)), 5);
    assert.deepEqual(
      bench.frames.filter(({ ticket }) => ticket === 2).map(({ what }) => what),
      [fromWorker.passedOver],
    );
  });

  it('sends a large result itself when it cannot be put into a file', async (t) => {
    const bench = new Bench(t, 'python3', { CHERVIL_VALUES: '/nowhere/values' });
    const facts = writePythonFacts({ timeoutMs: 0, isTold: false, wantsOutput: true, takesFiles: true });
    bench.give(1, call('builtins', 'bytes', 100_000), dict(facts));
    const value = await bench.value(1);
    assert.ok(value instanceof Uint8Array && value.length === 100_000);
  });

  it('says when the body of a job begins, and where, to those who asked', async (t) => {
    const bench = new Bench(t);
    const told = dict(writePythonFacts({ timeoutMs: 0, isTold: true, wantsOutput: false }));
    bench.give(1, call('math', 'hypot', 3, 4), told);
    await bench.value(1);
    assert.deepEqual(
      bench.frames.filter(({ ticket }) => ticket === 1).map(({ what }) => what),
      [fromWorker.note, fromWorker.began, fromWorker.value],
    );
    assert.match((await bench.frame(fromWorker.note, 1)).toString(), /"worker": "bench\/0"/);
  });

  it('has the variables of a resource specification while the job runs, and not after it', async (t) => {
    const bench = new Bench(t);
    const spec = dict({ resource_spec: dict({ priority: 3, num_nodes: 2 }) });
    const get = (): Buffer => call('os', 'getenv', 'PARSL_NUM_NODES');
    bench.give(1, get(), spec).give(2, get());
    assert.equal(await bench.value(1), '2');
    assert.equal(await bench.value(2), null);
  });

  it('writes what bodies print to its log when nobody wants it, and what they write past Python too', async (t) => {
    const bench = new Bench(t);
    bench.give(1, text("import os\ndef f():\n    print('by print')\n    os.write(2, b'past it\\n')\n", 'f'));
    await bench.value(1);
    assert.equal(readFileSync(join(bench.directory, 'worker_0.log'), 'utf8'), 'by print\npast it\n');
  });

  it('ends with the exit code that a body asked for, after it has sent what was done before', async (t) => {
    const bench = new Bench(t);
    bench.give(1, call('math', 'hypot', 3, 4), ours).give(2, call('sys', 'exit', 'no more'), ours);
    assert.equal(toNumber(await bench.value(1)), 5);
    await bench.child.ended;
    assert.deepEqual([bench.death?.exitCode, bench.death?.stderrTail, bench.death?.begun], [1, 'no more', 2]);
  });

  it('runs tasks of Parsl without Parsl: functions by name, tasks with an executor of their own', async (t) => {
    const bench = new Bench(t);
    bench.give(1, call('math', 'hypot', 3, 4));
    const executor = dict({ f: 'builtins.len', a: new PyTuple([]), k: new Map() });
    bench.give(2, Buffer.from('any bytes'), dict({ task_executor: executor }));
    assert.equal(toNumber(await bench.value(1)), 5);
    assert.equal(await bench.value(2), 9);
  });

  it("tells failures of Parsl's tasks without Parsl, in Parsl's wrapper of an exception", async (t) => {
    const bench = new Bench(t);
    bench.give(1, call('math', 'sqrt', -1)).give(2, call('json', 'loads', '{'));
    const first = readPythonFailure(unpacked(await bench.payload(fromWorker.failure, 1)));
    assert.ok(first.ok, 'it is an exception');
    assert.deepEqual([first.value.type, first.value.message], ['ValueError', 'math domain error']);
    const second = readPythonFailure(unpacked(await bench.payload(fromWorker.failure, 2)));
    assert.ok(second.ok, 'it is an exception');
    assert.match(second.value.text, /RuntimeError: json\.decoder\.JSONDecodeError: Expecting property name/);
  });
});

describe('a Python worker where Parsl is', () => {
  it("runs what Parsl's submitter makes, and Parsl reads what comes back", async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    const run = (code: string, input: Uint8Array = new Uint8Array(0)): Buffer => {
      const { status, stdout, stderr } = spawnSync(python, ['-c', code], { input });
      assert.equal(status, 0, String(stderr));
      return stdout;
    };
    const pack = (body: string, args: string): Buffer =>
      run(`
import sys
from parsl.serialize import pack_apply_message
def outer(by):
    factor = 3
    class Box:
        def __init__(self, value):
            self.value = value
    def task(x):
        ${body}
    return task
sys.stdout.buffer.write(pack_apply_message(outer(2), ${args}, {}))`);
    const bench = new Bench(t, python);
    bench.give(1, pack('return [Box(x * by * factor).value, {x}]', '(7,)'));
    bench.give(2, pack('raise KeyError(x)', '("k",)'));
    bench.give(3, pack('return Box(x)', '(5,)'));
    bench.give(
      4,
      pack('from parsl.monitoring.radios.htex import HTEXRadioSender as S; S().send((1, {"run_id": x}))', '("r",)'),
    );
    const shown = 'import sys\nfrom parsl.serialize import deserialize\none = deserialize(sys.stdin.buffer.read())\n';
    const value = run(`${shown}print(one)`, await bench.payload(fromWorker.value, 1));
    assert.equal(value.toString().trim(), '[42, {7}]');
    const failure = run(
      `${shown}import traceback\ntry:\n    one.reraise()\nexcept KeyError as e:\n    print(repr(e), traceback.extract_tb(e.__traceback__)[-1].name)`,
      await bench.payload(fromWorker.failure, 2),
    );
    assert.equal(failure.toString().trim(), "KeyError('k') task");
    const box = run(`${shown}print(type(one).__name__, one.value)`, await bench.payload(fromWorker.value, 3));
    assert.equal(box.toString().trim(), 'Box 5');
    await bench.payload(fromWorker.value, 4);
    const item = readItem(await bench.frame(fromWorker.item, 0));
    assert.equal(item.kind, 'monitoring');
  });

  it('does not import Parsl for a task of TypeScript', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    const bench = new Bench(t, python);
    const code =
      "import sys\ndef f():\n    return sorted(name for name in ('parsl', 'dill', 'numpy', 'typing') if name in sys.modules)\n";
    bench.give(1, text(code, 'f'), ours);
    assert.deepEqual(await bench.value(1), []);
  });
});
