import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Seldom } from '#src/interchange/seldom.js';
import { Strangers } from '#src/interchange/strangers.js';
import { writeCommand } from '#src/wire/messages.js';
import { PyTuple } from '#src/wire/pickle.js';
import { createCertificates, curveClient, readCertificates } from '#src/wire/zmtp/socket.js';
import { pythonOrSkip } from '../support/python.ts';
import { sure } from './builders.ts';
import { directory, Submitter } from './processes.ts';

const lateLook = fileURLToPath(new URL('../fixtures/interchange/late-look.py', import.meta.url));

async function look(python: string, port: number): Promise<string> {
  const child = spawn(python, [lateLook, `tcp://127.0.0.1:${port}`, '20'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += String(chunk);
  });
  await new Promise((resolve) => child.on('close', resolve));
  return text.trim();
}

describe('connections to the pool port that come to nothing', () => {
  for (const isEncrypted of [false, true]) {
    it(`an old pool that missed its first connection is given another, ${isEncrypted ? 'encrypted' : 'plain'}`, async (t) => {
      const python = await pythonOrSkip(t, { name: 'pyzmq', packages: ['pyzmq'] });
      if (python === undefined) return;
      const certificates = await createCertificates(mkdtempSync(join(directory, 'keys-')));
      const { client, server } = await readCertificates(certificates);
      const mechanism = await curveClient({ ...client, serverKey: server.publicKey });
      await using submitter = isEncrypted
        ? await Submitter.start({ worker_ports: null, cert_dir: certificates }, mechanism)
        : await Submitter.start({ worker_ports: null });
      const ports = await submitter.ask(writeCommand({ name: 'worker ports' }));
      sure(ports instanceof PyTuple);
      assert.equal(await look(python, Number(ports.items[0])), 'found');
      const log = readFileSync(join(submitter.logdir, 'interchange.log'), 'utf8');
      assert.ok(log.split('No pool from').length <= 4, log);
    });
  }

  it('are counted by thousands, and whoever comes most often is not forgotten', () => {
    const seldom = new Seldom();
    for (let round = 0; round < 9; round++) {
      for (let stranger = 0; stranger < 4_900; stranger++) {
        seldom.count('always there');
        const often = seldom.count(`stranger ${stranger}`);
        assert.equal(often, round === 0 ? '' : undefined, `${stranger}, round ${round}`);
      }
    }
    for (let stranger = 0; stranger < 100_000; stranger++) {
      seldom.count(`new ${stranger}`);
      seldom.count('always there');
    }
    assert.equal(seldom.count('stranger 1'), '', 'who did not come for long is new');
    for (let times = 9 * 4_900 + 100_000; times < 1_000_000 - 1; times++)
      assert.equal(seldom.count('always there'), undefined);
    assert.equal(seldom.count('always there'), ' (1000000 times from there so far)');
  });

  it('one that keeps trying is told at the 1st, 10th and 100th time', () => {
    const strangers = new Strangers();
    const lines: string[] = [];
    for (let port = 2_001; port <= 2_200; port++) {
      const line = strangers.tell(`tcp://10.0.0.7:${port}`, { code: 'mechanism', detail: 'it wants "NULL"' });
      if (line !== undefined) lines.push(line);
    }
    assert.deepEqual(lines, [
      'No pool from tcp://10.0.0.7:2001: it wants "NULL"',
      'No pool from tcp://10.0.0.7:2010: it wants "NULL" (10 times from there so far)',
      'No pool from tcp://10.0.0.7:2100: it wants "NULL" (100 times from there so far)',
    ]);
    assert.ok(strangers.tell('tcp://10.0.0.8:1', { code: 'mechanism', detail: '' }) !== undefined);
  });
});
