import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { leastLevel, openLog } from '#src/interchange/log.js';
import { compileFormat } from '#src/interchange/log-format.js';
import { type LogChoice, readConfig, readConfigJson } from '#src/wire/messages.js';
import { encode, type PickleValue, PyGlobal, PyObject, PyTuple } from '#src/wire/pickle.js';
import { sure } from './builders.ts';

const directory = mkdtempSync(join(tmpdir(), 'chervil-log-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** The choice that a submitter's pickled log configuration leads to. */
function choice(className: string, module: string, state: Record<string, PickleValue>): LogChoice {
  const object = new PyObject('new', new PyGlobal(`parsl.logconfigs.${module}`, className), new PyTuple([]));
  object.steps.push({ do: 'state', state: new Map(Object.entries(state)) });
  const config = new Map<PickleValue, PickleValue>([
    ['client_address', '127.0.0.1'],
    ['client_ports', new PyTuple([1, 2, 3])],
    ['logdir', directory],
    ['logging_level', 20],
    ['log_config', object],
  ]);
  const read = readConfig(encode(config));
  sure(read.ok);
  return read.value.log;
}

/** What the log has after two lines. */
function written(log: LogChoice, name: string): string {
  const place = mkdtempSync(join(directory, 'run-'));
  const open = openLog(log, place);
  open.write('info', 'a line\nand its "rest"');
  open.write('warning', 'careful');
  open.close();
  return readFileSync(join(place, name), 'utf8');
}

describe('the log', () => {
  it('has the format and level of a FileLogging', () => {
    const format_string = '%(levelname)-8s|%(name)s|%(processName)s|%(message)s|100%%';
    const log = choice('FileLogging', 'file', { uuid: 'u', format_string, level: 30 });
    assert.equal(leastLevel(log), 'warning');
    assert.equal(
      written(log, 'interchange.log'),
      'WARNING |parsl.executors.high_throughput.interchange|MainProcess|careful|100%\n',
    );
  });

  it("of Parsl's default format has its times and numbers", () => {
    const line = compileFormat('%(created)f %(asctime)s %(threadName)s-%(thread)d %(name)s:%(lineno)d %(levelname)s');
    const text = line({ level: 'error', text: '', at: 1_795_205_145_322 });
    assert.match(
      text,
      /^1795205145\.322000 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d MainThread-\d+ parsl\.executors\.high_throughput\.interchange:0 ERROR$/,
    );
  });

  it('of an unusual format keeps what it does not know', () => {
    const line = compileFormat('%(nothing)s %(message).3s %(levelno)04d %(toString)s 5%');
    assert.equal(line({ level: 'info', text: 'abcdef', at: 0 }), '%(nothing)s abc 0020 %(toString)s 5%');
  });

  it('of a JSONLogging is one object a line with the keys of Parsl', () => {
    const log = choice('JSONLogging', 'json', { uuid: 'u', level: 10 });
    assert.equal(leastLevel(log), 'debug');
    const lines = written(log, 'interchange.jsonlog').trim().split('\n');
    const first = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
    assert.equal(first['formatted'], 'a line\nand its "rest"');
    const names = 'created process processName threadName thread name lineno funcname levelname msg formatted';
    assert.deepEqual(Object.keys(first), names.split(' '));
    assert.equal(lines.length, 2);
  });

  it('is there from its first line on', () => {
    const place = join(directory, 'first');
    const log = openLog({ kind: 'file', level: 20 }, place);
    log.write('info', 'it begins');
    assert.ok(existsSync(join(place, 'interchange.log')));
    log.close();
  });

  it('of a NoopLogging is none', () => {
    const place = join(directory, 'none');
    openLog(choice('NoopLogging', 'noop', { uuid: 'u' }), place).write('error', 'x');
    assert.ok(!existsSync(place));
  });

  it('without a configuration, or with one of an unknown class, is a file of one line an event', () => {
    const plain = readConfigJson(
      JSON.stringify({ client_address: '127.0.0.1', client_ports: [1, 2, 3], logdir: directory, logging_level: 30 }),
    );
    sure(plain.ok);
    assert.match(
      written(plain.value.log, 'interchange.log'),
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} interchange \d+ \[WARNING\] careful\n$/,
    );
    const unknown = choice('MyLogging', 'mine', { level: 50 });
    assert.match(written(unknown, 'interchange.log'), /\[INFO\] a line\\x0aand its "rest"\n/);
  });
});
