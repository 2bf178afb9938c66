// The command `chervil monitor` as a user starts it: what it opens, where it listens, whom it lets in, and how it ends.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page, Problem, RunRow } from '#src/dashboard/api.js';
import { makeSynthetic } from '../support/synthetic.ts';
import { chervil, commandLine, root, type Started, scratch, start } from './command.ts';

interface Monitor extends Started {
  readonly url: URL;
}

/** `chervil monitor args`, once it has printed where it is. */
async function monitor(t: TestContext, args: readonly string[], cwd: string): Promise<Monitor> {
  const [program = '', ...rest] = commandLine(['monitor', ...args]);
  const started = start(t, program, rest, cwd);
  let printed = '';
  started.child.stdout?.on('data', (text: string) => {
    printed += text;
  });
  await started.until('Ctrl-C ends it');
  return { ...started, url: new URL(printed.trim()) };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Fetch does not let a test choose its Host header. */
function ask(url: URL, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: url.port, path, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

async function runsOf(url: URL): Promise<readonly RunRow[]> {
  const { status, text } = await ask(url, '/api/runs');
  assert.equal(status, 200, text);
  return (JSON.parse(text) as Page<RunRow>).rows;
}

/** A port that is taken until the test ends. */
async function takenPort(t: TestContext, port = 0): Promise<number> {
  const server: Server = createServer();
  const isOurs = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (!isOurs) return port; // By another program: just as taken.
  t.after(() => void server.close());
  return (server.address() as { port: number }).port;
}

/** Pieces of news, with their numbers, until there are enough. The stream is left then, unless it is to be kept. */
async function news(url: URL, run: string, enough: number, lastId?: string): Promise<{ id: string; data: string }[]> {
  const stop = new AbortController();
  const response = await fetch(new URL(`/api/live?run=${run}`, url), {
    signal: stop.signal,
    headers: lastId === undefined ? {} : { 'last-event-id': lastId },
  });
  assert.match(response.headers.get('content-type') ?? '', /text\/event-stream/);
  let text = '';
  const found: { id: string; data: string }[] = [];
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    found.length = 0;
    for (const [, id = '', data = ''] of text.matchAll(/id: (\S+)\nevent: run\ndata: (.*)\n\n/g))
      found.push({ id, data });
    if (found.length >= enough) break;
  }
  stop.abort();
  return found;
}

const program = `
import { app, load, threads } from '${join(root, 'dist/index.js')}';
const half = app(function half(n) { return n / 2; });
const run = await load({ monitoring: { name: 'a "quoted" <run> of \\u202esevlah\\u202c.ts' }, executors: [threads({ max: 1 })] });
await Promise.all([half(4), half(3)]);
await run.close();
`;

test('in the directory of the program it serves its runs, and Ctrl-C ends it with nothing left, even while somebody looks', async (t) => {
  const directory = scratch(t);
  writeFileSync(join(directory, 'program.mjs'), program);
  assert.equal((await chervil(t, ['run', 'program.mjs'], directory)).code, 0);
  const { url, child, ended } = await monitor(t, ['--port', '0'], directory);
  assert.equal(url.hostname, '127.0.0.1');
  assert.equal(url.search, '', 'no token on loopback');
  const page = await ask(url, '/');
  assert.equal(page.status, 200);
  assert.match(page.text, /<script[^>]*src="app\.js"/);
  for (const path of ['/', '/app.js', '/api/runs', '/api/nothing']) {
    const { headers } = await ask(url, path);
    assert.match(String(headers['content-security-policy']), /^default-src 'none'; script-src 'self'/, path);
  }
  assert.equal((await ask(url, '/api/runs', { host: 'evil.example' })).status, 421);
  const [run] = await runsOf(url);
  assert.deepEqual(
    [run?.name, run?.total, run?.status],
    ['a "quoted" <run> of \\u202esevlah\\u202c.ts', 2, 'succeeded'],
  );
  const [first] = await news(url, run?.id ?? '', 1);
  assert.deepEqual((JSON.parse(first?.data ?? '{}') as { counts: object }).counts, { exec_done: 2 });

  // However it is told that this is over.
  const looking = fetch(new URL('/api/live', url))
    .then((response) => response.text())
    .catch(() => '');
  await news(url, '', 1);
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
  assert.equal(children, '', 'it is one process');
  child.kill('SIGINT');
  const { code, signal, stderr } = await ended;
  assert.deepEqual([code, signal], [0, null], stderr);
  assert.equal(stderr.trim().split('\n').length, 1, stderr);
  await looking;
  await assert.rejects(ask(url, '/'), { code: 'ECONNREFUSED' });
});

test('SIGTERM and a closed terminal end it as well, and two may look at one database', async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'some.db');
  await makeSynthetic(path, { tasks: 20 });
  const one = await monitor(t, [path, '--port', '0'], directory);
  const two = await monitor(t, [path, '--port', '0'], directory);
  assert.notEqual(one.url.port, two.url.port);
  assert.deepEqual([(await runsOf(one.url)).length, (await runsOf(two.url)).length], [1, 1]);
  one.child.kill('SIGTERM');
  two.child.kill('SIGHUP');
  for (const { ended } of [one, two]) assert.deepEqual((({ code, signal }) => [code, signal])(await ended), [0, null]);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name !== 'some.db' && !/^some\.db-(wal|shm)$/.test(name)),
    [],
    'it writes nothing',
  );
});

test('of ports it takes the usual one, another if that is taken, and the one that is asked for or none', async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'some.db');
  await makeSynthetic(path, { tasks: 20 });
  await takenPort(t, 8080);
  const other = await monitor(t, [path], directory);
  assert.notEqual(other.url.port, '8080');
  assert.equal((await runsOf(other.url)).length, 1);
  const taken = await takenPort(t);
  for (const [options, message] of [
    [['--port', String(taken)], `port ${taken} is taken by another program; without --port a free one is chosen`],
    [['--port', '99999'], 'there is no port 99999; ports go from 1 to 65535'],
    [['--address', '192.0.2.1'], 'this machine has no address 192.0.2.1; '],
  ] as const) {
    const { code, stdout, stderr } = await chervil(t, ['monitor', path, ...options], directory);
    assert.deepEqual([code, stdout], [1, '']);
    assert.ok(stderr.startsWith(`chervil: ${message}`), stderr);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
  assert.match((await chervil(t, ['monitor', path, '--port', 'http'])).stderr, /must be a whole number/);
});

test('beyond loopback, and where it is asked for, only the printed address lets in', async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'some.db');
  await makeSynthetic(path, { tasks: 20 });
  for (const options of [['--token'], ['--address', '0.0.0.0', '--allow-host', 'login.example']]) {
    const { url, child, ended } = await monitor(t, [path, '--port', '0', ...options], directory);
    const token = url.searchParams.get('token') ?? '';
    assert.ok(token.length >= 32, url.href);
    for (const where of ['/', '/api/runs', '/api/live', '/?token=guess'])
      assert.equal((await ask(url, where)).status, 401, where);
    assert.equal((await ask(url, '/api/runs', { authorization: `Bearer ${token}` })).status, 200);
    assert.equal((await ask(url, `/?token=${token}`)).status, 302);
    const named = await ask(url, '/api/runs', { host: 'login.example', authorization: `Bearer ${token}` });
    assert.equal(named.status, options.includes('login.example') ? 200 : 421);
    child.kill('SIGINT');
    const { stderr } = await ended;
    assert.doesNotMatch(stderr, new RegExp(token), 'the token stands in the address alone');
  }
});

test('what it cannot open is told in one line', async (t) => {
  const directory = scratch(t);
  writeFileSync(join(directory, 'text.db'), 'this is no database, but long enough to be taken for one '.repeat(50));
  writeFileSync(join(directory, 'empty.db'), '');
  for (const [where, message] of [
    [[], /^chervil: there is no .*\/runinfo; .*load\(\{ monitoring: true \}\)/],
    [['.'], /has no monitoring\.db: its runs were not monitored/],
    [['text.db'], /text\.db is no monitoring database/],
    [['empty.db'], /empty\.db is no monitoring database/],
    [['postgres://127.0.0.1:1/none'], /the database cannot be read: .*ECONNREFUSED/],
  ] as const) {
    const { code, stderr } = await chervil(t, ['monitor', ...where], directory);
    assert.equal(code, 1);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
});

test('a database that is deleted or replaced while it is served is told of, and what is there instead is shown', async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'some.db');
  const away = join(directory, 'away.db');
  const { runId } = await makeSynthetic(path, { tasks: 20 });
  const { url } = await monitor(t, [path, '--port', '0'], directory);
  const [first] = await news(url, runId, 1);
  for (const suffix of ['', '-wal', '-shm'])
    if (readdirSync(directory).includes(`some.db${suffix}`)) renameSync(`${path}${suffix}`, `${away}${suffix}`);
  const told = await news(url, runId, 1, first?.id);
  assert.equal((JSON.parse(told[0]?.data ?? '{}') as { isGone: boolean }).isGone, true, 'whoever looks is told to ask');
  for (const question of ['/api/runs', `/api/runs/${runId}`, `/api/runs/${runId}/tasks`]) {
    const { status, text } = await ask(url, question);
    assert.equal(status, 503, text);
    assert.match((JSON.parse(text) as Problem).error, /some\.db is not there any more/);
  }
  const other = await makeSynthetic(path, { tasks: 30, seed: 7 });
  assert.deepEqual(
    (await runsOf(url)).map(({ id, total }) => [id, total]),
    [[other.runId, 30]],
  );
  const gone = await ask(url, `/api/runs/${runId}`);
  assert.deepEqual(
    [gone.status, (JSON.parse(gone.text) as Problem).error],
    [404, `there is no run ${runId} in this database`],
  );
});
