import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { resultHeader } from '#src/wire/messages.js';
import { decode, encode, type PickleValue, PyObject, PyTuple } from '#src/wire/pickle.js';
import {
  createCertificates,
  createSocket,
  curveClient,
  curveServer,
  nullMechanism,
  readCertificates,
} from '#src/wire/zmtp/socket.js';
import { pythonOrSkip } from '../support/python.ts';
import { sure } from './builders.ts';
import { children, directory, Inbox, Pool, port, Submitter } from './processes.ts';

const hubProgram = fileURLToPath(new URL('../fixtures/interchange/hub.py', import.meta.url));

describe('the link to monitoring', () => {
  for (const receiver of ['CURVE', 'NULL'] as const) {
    it(`of an encrypted run reaches a receiver that talks ${receiver}`, async () => {
      const certificates = await createCertificates(mkdtempSync(join(directory, 'keys-')));
      const { client, server, allowed } = await readCertificates(certificates);
      const mechanism = await curveClient({ ...client, serverKey: server.publicKey });
      const inbox = new Inbox<Buffer[]>();
      const hub = createSocket({
        type: 'dealer',
        mechanism:
          receiver === 'CURVE' ? await curveServer({ secretKey: server.secretKey, allow: allowed }) : nullMechanism,
        lingerMs: 0,
        onMessage: (frames) => inbox.put(frames),
      });
      const hubPort = Number((await hub.bind('tcp://127.0.0.1:*')).split(':').pop());
      await using submitter = await Submitter.start({ cert_dir: certificates, hub_zmq_port: hubPort }, mechanism);
      await using pool = new Pool(await port(submitter), 'pool-a', mechanism);
      pool.register();
      const [record] = await inbox.next('a record of the manager');
      const value = decode(record as Buffer);
      sure(value.ok && value.value instanceof PyTuple);
      const [type, info] = value.value.items;
      sure(type instanceof PyObject && info instanceof Map);
      assert.deepEqual(type.args.items, [3]);
      assert.equal(info.get('uid'), 'abcdef012345');
      // What a pool has to tell passes through, pickle and all.
      const payload = new PyTuple([1, new Map([['task_id', 7]])]);
      pool.socket.send([
        resultHeader(),
        encode(
          new Map<PickleValue, PickleValue>([
            ['type', 'monitoring'],
            ['payload', payload],
          ]),
        ),
      ]);
      for (;;) {
        const [frame] = await inbox.next('the payload');
        const passed = decode(frame as Buffer);
        sure(passed.ok && passed.value instanceof PyTuple);
        if (passed.value.items[0] !== 1) continue;
        assert.deepEqual(passed.value, payload);
        break;
      }
      await hub.close({ lingerMs: 0 });
    });
  }

  for (const receiver of ['CURVE', 'NULL'] as const) {
    it(`of an encrypted run reaches a receiver of libzmq that talks ${receiver}`, async (t) => {
      const python = await pythonOrSkip(t, { name: 'pyzmq', packages: ['pyzmq'] });
      if (python === undefined) return;
      const certificates = await createCertificates(mkdtempSync(join(directory, 'keys-')));
      const { client, server } = await readCertificates(certificates);
      const mechanism = await curveClient({ ...client, serverKey: server.publicKey });
      const hub = spawn(python, [hubProgram, receiver === 'CURVE' ? certificates : 'plain'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(hub);
      const lines = new Inbox<string>();
      createInterface(hub.stdout).on('line', (line) => lines.put(line));
      const hubPort = Number(await lines.next('the port'));
      await using submitter = await Submitter.start({ cert_dir: certificates, hub_zmq_port: hubPort }, mechanism);
      await using pool = new Pool(await port(submitter), 'pool-a', mechanism);
      pool.register();
      const value = decode(Buffer.from(await lines.next('a record of the manager'), 'hex'));
      sure(value.ok && value.value instanceof PyTuple);
      const [, info] = value.value.items;
      sure(info instanceof Map && info.get('uid') === 'abcdef012345');
      hub.kill('SIGKILL');
    });
  }
});
