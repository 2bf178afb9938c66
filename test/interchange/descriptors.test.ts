import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, watch } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Descriptors } from '#src/interchange/descriptors.js';
import { nullMechanism } from '#src/wire/zmtp/socket.js';
import { FakeClock } from '../support/clock.ts';
import { Pool, port, Submitter } from './processes.ts';

/** What the log tells, and the world that it is told of. */
function told({ most }: { most: number | undefined } = { most: 40 }) {
  const lines: string[] = [];
  const world = { clock: new FakeClock(), most, isShort: true, shortage: () => (world.isShort ? 'EMFILE' : undefined) };
  return { lines, world, descriptors: new Descriptors((line) => lines.push(line), world as never) };
}

/** Waits until the log has such a line. */
async function inLog(submitter: Submitter, line: RegExp): Promise<void> {
  const path = join(submitter.logdir, 'interchange.log');
  const signal = AbortSignal.timeout(40_000);
  const changes = watch(submitter.logdir);
  try {
    while (!line.test(readFileSync(path, 'utf8'))) await once(changes, 'change', { signal });
  } finally {
    changes.close();
  }
}

const first =
  'No file descriptor is left (EMFILE): this process may have 40. Each pool needs one. Those that come now are ' +
  'turned away, and try again; start the interchange where `ulimit -n` gives more';

/** Fewer are not enough for Node.js to load the interchange's modules. */
const mostFiles = 256;

describe('an interchange without file descriptors', () => {
  it('says so, lives on, takes pools again when others have left, and says that, too', async () => {
    await using submitter = await Submitter.start({}, nullMechanism, [], '127.0.0.1', mostFiles);
    const at = await port(submitter);
    const strangers: Socket[] = [];
    const closed: Promise<unknown>[] = [];
    for (let count = 1; count <= mostFiles; count++) {
      const stranger = connect(at, '127.0.0.1').on('error', () => undefined);
      strangers.push(stranger);
      closed.push(once(stranger, 'close'));
    }
    // Some are turned away at once, and the others wait for their handshake.
    await Promise.race(closed);
    await inLog(
      submitter,
      /\[WARNING\] No file descriptor is left \(EMFILE\): this process may have 256\. .*`ulimit -n`/,
    );
    await using pool = new Pool(at, 'turned away at first');
    pool.register();
    submitter.send(1);
    for (const stranger of strangers) stranger.destroy();
    assert.deepEqual(await pool.tasks(), [1]);
    await inLog(submitter, /\[WARNING\] There are file descriptors for pools again, after /);
  });

  it('tells the first time at once, and then at most every ten seconds how often it was', () => {
    const { lines, world, descriptors } = told();
    for (let second = 0; second < 25; second++) {
      descriptors.onShort('EMFILE');
      descriptors.onLeft();
      world.clock.advance(1_000);
    }
    assert.deepEqual(lines, [
      first,
      first.replace('40.', '40; 9 times more since the last line.'),
      first.replace('40.', '40; 10 times more since the last line.'),
    ]);
  });

  it('tells the end when for ten seconds one was left, and a new beginning at once', () => {
    const { lines, world, descriptors } = told();
    descriptors.onShort('EMFILE');
    world.clock.advance(60_000);
    assert.deepEqual([lines.length, world.clock.waiting], [1, 0]);
    world.isShort = false;
    descriptors.onLeft();
    world.clock.advance(9_999);
    assert.equal(lines.length, 1);
    world.clock.advance(1);
    assert.deepEqual(lines.slice(1), ['There are file descriptors for pools again, after 1 m 10 s']);
    descriptors.onLeft();
    assert.equal(world.clock.waiting, 0);
    descriptors.onShort('EMFILE');
    assert.deepEqual(lines.slice(2), [first]);
  });

  it('tells which limit it is: of the process, which may be unknown, or of the machine', () => {
    const { lines, descriptors } = told({ most: undefined });
    descriptors.onShort('EMFILE');
    assert.match(lines[0] ?? '', /^No file descriptor is left \(EMFILE\)\. /);
    const other = told();
    other.descriptors.onShort('ENFILE');
    assert.match(other.lines[0] ?? '', /^This machine has no file descriptor left \(ENFILE\)\. .* fs\.file-max/);
  });

  it('leaves no timer behind', () => {
    const { world, descriptors } = told();
    descriptors.onShort('EMFILE');
    descriptors.close();
    assert.equal(world.clock.waiting, 0);
  });
});
