// The certificate directory: made, read, refused; and read by Python.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { createCertificates, readCertificates } from '#src/wire/zmtp/certificates.js';
import { ZmtpError, type ZmtpErrorCode } from '#src/wire/zmtp/failures.js';
import { pythonOrSkip } from '../support/python.ts';

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'chervil-certificates-'));
  t.after(() => rm(made, { recursive: true }));
  return made;
}

const withCode = (code: ZmtpErrorCode, words: RegExp) => (error: unknown) =>
  error instanceof ZmtpError && error.code === code && words.test(error.message);

test('certificates are four files in a directory of mode 0700', async (t) => {
  const directory = await createCertificates(await folder(t));
  assert.match(directory, /certificates$/);
  assert.equal((await stat(directory)).mode & 0o777, 0o700);
  const { server, client, allowed } = await readCertificates(directory);
  assert.deepEqual([...allowed].sort(), [server.publicKey, client.publicKey].sort());
  for (const key of [server.publicKey, server.secretKey, client.publicKey, client.secretKey])
    assert.equal(key.length, 40);
  const secret = await readFile(join(directory, 'server.key_secret'), 'utf8');
  assert.match(secret, /^metadata\ncurve\n {4}public-key = "[^"]{40}"\n {4}secret-key = "[^"]{40}"\n$/m);
  assert.doesNotMatch(await readFile(join(directory, 'client.key'), 'utf8'), /secret-key/);
  assert.equal((await stat(join(directory, 'client.key_secret'))).mode & 0o077, 0, 'nobody else may read a secret');
});

test('making certificates again replaces the keys and repairs the mode', async (t) => {
  const base = await folder(t);
  const directory = await createCertificates(base);
  const before = await readCertificates(directory);
  await chmod(directory, 0o755);
  await createCertificates(base);
  const after = await readCertificates(directory);
  assert.notEqual(after.server.publicKey, before.server.publicKey);
  assert.equal(after.allowed.size, 2);
});

test('a directory that others may enter is refused, with the command that repairs it', async (t) => {
  const directory = await createCertificates(await folder(t));
  for (const mode of [0o750, 0o755, 0o500, 0o770]) {
    await chmod(directory, mode);
    await assert.rejects(
      readCertificates(directory),
      withCode('CERTIFICATES_NOT_PRIVATE', /must have 0700.*chmod 700/),
    );
  }
  await chmod(directory, 0o700);
});

test('what is missing or broken is named', async (t) => {
  const directory = await createCertificates(await folder(t));
  await assert.rejects(readCertificates(join(directory, 'nowhere')), withCode('CERTIFICATES_MISSING', /nowhere/));
  await assert.rejects(
    readCertificates(join(directory, 'server.key')),
    withCode('CERTIFICATES_MISSING', /not a directory/),
  );
  await writeFile(join(directory, 'client.key'), 'curve\n    public-key = "too short"\n');
  await assert.rejects(readCertificates(directory), withCode('CERTIFICATES_BROKEN', /client\.key lacks a public-key/));
  await rm(join(directory, 'client.key'));
  await rm(join(directory, 'server.key_secret'));
  await assert.rejects(readCertificates(directory), withCode('CERTIFICATES_MISSING', /server\.key_secret/));
});

test('pyzmq reads what we write, and we read what pyzmq writes', async (t) => {
  const python = await pythonOrSkip(t, { name: 'pyzmq', packages: ['pyzmq'] });
  if (python === undefined) return;
  const directory = await createCertificates(await folder(t));
  const run = async (code: string): Promise<unknown> =>
    JSON.parse((await promisify(execFile)(python, ['-c', code, directory])).stdout);
  const read = 'import sys, json, zmq.auth as a; d = sys.argv[1];';
  const show =
    "print(json.dumps([[k.decode() for k in a.load_certificate(d + '/' + n + '.key_secret')] for n in ('server', 'client')] + [sorted(k.decode() for k in a.load_certificates(d))]))";
  const expected = async (): Promise<unknown> => {
    const { server, client, allowed } = await readCertificates(directory);
    return [[server.publicKey, server.secretKey], [client.publicKey, client.secretKey], [...allowed].sort()];
  };
  assert.deepEqual(await run(read + show), await expected());
  assert.deepEqual(
    await run(`${read} [a.create_certificates(d, n) for n in ('server', 'client')]; ${show}`),
    await expected(),
  );
});
