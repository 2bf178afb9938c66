// The log configurations of real Parsl, pickled by it, given to a real interchange process.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { decode } from '#src/wire/pickle.js';
import { newestRelease, parslOrSkip } from '../support/parsl.ts';
import { sure } from './builders.ts';
import { directory, Pool, port, Submitter } from './processes.ts';

/** Pickles as Parsl's executor does; `Mine` is a class that only the user's program has. */
const program = `
import logging, pickle
from parsl.logconfigs.base import LogConfig
from parsl.logconfigs.file import FileLogging
from parsl.logconfigs.json import JSONLogging
from parsl.logconfigs.noop import NoopLogging

class Mine(LogConfig):
    def initialize_logging(self, *, log_dir, log_name):
        return lambda: None

kinds = [
    FileLogging(),
    FileLogging(format_string="MINE %(levelname)s: %(message)s", level=logging.WARNING),
    JSONLogging(),
    JSONLogging(level=logging.ERROR),
    NoopLogging(),
    Mine(),
    None,
]
for kind in kinds:
    print(pickle.dumps(kind).hex())
`;

const names = ['file', 'file of warnings', 'json', 'json of errors', 'noop', 'mine', 'none'];

describe("the log configurations of Parsl's newest release", () => {
  it('decide where the log is, how its lines look, and which there are', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    const pickles = execFileSync(python, ['-c', program], { encoding: 'utf8', cwd: directory }).trim().split('\n');
    assert.equal(pickles.length, names.length);
    const found: Record<string, string> = {};
    for (const [at, pickle] of pickles.entries()) {
      const config = decode(Buffer.from(pickle, 'hex'));
      sure(config.ok);
      const submitter = await Submitter.start({ log_config: config.value, logging_level: 20 });
      await using pool = new Pool(await port(submitter), 'pool-a');
      pool.register({ maxCapacity: 0 });
      // A second registration under one name is worth a warning.
      pool.register();
      submitter.send(1);
      await pool.tasks();
      await submitter[Symbol.asyncDispose]();
      const files = readdirSync(submitter.logdir);
      assert.ok(files.length <= 1, `more than one log: ${files}`);
      const [file] = files;
      found[names[at] as string] =
        file === undefined ? 'no file' : `${file} ${readFileSync(join(submitter.logdir, file), 'utf8')}`;
    }
    assert.match(found['file'] ?? '', /^interchange\.log \d[\s\S]*Interchange listens[\s\S]*registers again/);
    assert.match(found['file of warnings'] ?? '', /^interchange\.log MINE WARNING: Manager pool-a registers again/);
    assert.doesNotMatch(found['file of warnings'] ?? '', /INFO/);
    const lines = (found['json'] ?? '')
      .replace(/^interchange\.jsonlog /, '')
      .trim()
      .split('\n');
    const levels = lines.map((line) => (JSON.parse(line) as { levelname: string }).levelname);
    assert.ok(levels.includes('DEBUG') && levels.includes('WARNING'), `the levels are ${levels}`);
    assert.doesNotMatch(found['json of errors'] ?? '', /WARNING|INFO|DEBUG/);
    assert.equal(found['noop'], 'no file');
    assert.match(found['mine'] ?? '', /^interchange\.log [\s\S]*Unknown log configuration Mine; writing a plain log/);
    assert.match(found['none'] ?? '', /^interchange\.log [\s\S]*\[INFO\] Interchange listens/);
  });
});
