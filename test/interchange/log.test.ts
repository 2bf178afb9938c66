import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openLog } from '#src/interchange/log.js';

const directory = mkdtempSync(join(tmpdir(), 'chervil-log-'));
after(() => rmSync(directory, { recursive: true, force: true }));

describe("the interchange's log", () => {
  it('is there from its first line on', () => {
    const place = join(directory, 'first');
    const log = openLog({ kind: 'file' }, place);
    log.write('info', 'it begins');
    assert.ok(existsSync(join(place, 'interchange.log')));
    log.close();
  });

  it("has the form that a format string of Python's logging describes, and one line a message", () => {
    const place = join(directory, 'format');
    const log = openLog({ kind: 'file', format: 'X%% %(levelname)-8s|%(lineno)d|%(message)s.' }, place);
    log.write('warning', 'two\nlines');
    log.close();
    assert.equal(readFileSync(join(place, 'interchange.log'), 'utf8'), 'X% WARNING ||two\\x0alines.\n');
  });
});
