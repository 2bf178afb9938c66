// What a message costs: ROUTER and DEALER in one process, over TCP of the loopback, messages echoed in a window.
// CPU is that of the whole process, both ends and all threads, per message and end. Prints, asserts nothing.
//
//   node --import tsx bench/zmtp.ts [seconds per point, default 1]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Dealer, Router } from 'zeromq';
import {
  createCertificates,
  createSocket,
  curveClient,
  curveServer,
  type Mechanism,
  nullMechanism,
  readCertificates,
} from '#src/wire/zmtp/socket.js';

const seconds = Number(process.argv[2] ?? 1);
const rounds = 3;

/** Sends `size` bytes back and forth, `window` of them at a time, until `isOver`; how many came back. */
type Echo = (size: number, window: number, isOver: () => boolean) => Promise<number>;

const folder = await mkdtemp(join(tmpdir(), 'chervil-bench-'));
try {
  const certificates = await readCertificates(await createCertificates(folder));
  const { client, server, allowed } = certificates;
  const ours =
    (serverMechanism: Mechanism, clientMechanism: Mechanism): Echo =>
    async (size, window, isOver) => {
      const router = createSocket({
        type: 'router',
        mechanism: serverMechanism,
        highWaterMark: 0,
        onMessage: (frames, peer) => void router.send(peer, frames),
      });
      const endpoint = await router.bind('tcp://127.0.0.1:*');
      let back = 0;
      const payload = Buffer.alloc(size, 7);
      await new Promise<void>((resolve) => {
        let under = window;
        const dealer = createSocket({
          type: 'dealer',
          mechanism: clientMechanism,
          highWaterMark: 0,
          onMessage() {
            back++;
            if (!isOver()) dealer.send([payload]);
            else if (--under === 0) dealer.close({ lingerMs: 0 }).then(resolve);
          },
        });
        dealer.connect(endpoint);
        for (let index = 0; index < window; index++) dealer.send([payload]);
      });
      await router.close({ lingerMs: 0 });
      return back;
    };
  const theirs =
    (isCurve: boolean): Echo =>
    async (size, window, isOver) => {
      const quiet = { linger: 0, sendHighWaterMark: 0, receiveHighWaterMark: 0 };
      const router = new Router({
        ...quiet,
        ...(isCurve ? { curveServer: true, curveSecretKey: server.secretKey } : {}),
      });
      await router.bind('tcp://127.0.0.1:*');
      const keys = {
        curveServerKey: server.publicKey,
        curvePublicKey: client.publicKey,
        curveSecretKey: client.secretKey,
      };
      const dealer = new Dealer({ ...quiet, ...(isCurve ? keys : {}) });
      dealer.connect(router.lastEndpoint!);
      const payload = Buffer.alloc(size, 7);
      let back = 0;
      const echo = (async () => {
        for await (const frames of router) await router.send(frames);
      })();
      for (let index = 0; index < window; index++) await dealer.send(payload);
      let under = window;
      while (under > 0) {
        await dealer.receive();
        back++;
        if (isOver()) under--;
        else await dealer.send(payload);
      }
      dealer.close();
      router.close();
      await echo;
      return back;
    };
  const boxed = ours(
    await curveServer({ ...server, allow: allowed }),
    await curveClient({ ...client, serverKey: server.publicKey }),
  );
  const table: [string, Echo][] = [
    ['chervil NULL', ours(nullMechanism, nullMechanism)],
    ['zeromq.js NULL', theirs(false)],
    ['chervil CURVE', boxed],
    ['zeromq.js CURVE', theirs(true)],
  ];
  console.log(`Node ${process.version}; median of ${rounds} rounds of ${seconds} s, CPU in µs per message and end`);
  for (const [size, window] of [
    [200, 1],
    [200, 2_000],
    [16_384, 100],
  ] as const) {
    for (const [name, echo] of table) {
      await measure(echo, size, window, Math.min(0.3, seconds));
      const found = [];
      for (let round = 0; round < rounds; round++) found.push(await measure(echo, size, window, seconds));
      const { cpuUs, rate } = found.sort((a, b) => a.cpuUs - b.cpuUs)[Math.floor(rounds / 2)]!;
      const label = `${String(size).padStart(6)} B, window ${String(window).padEnd(5)} ${name.padEnd(16)}`;
      console.log(
        `${label} ${cpuUs.toFixed(2).padStart(8)} µs CPU   ${Math.round(rate).toLocaleString('en').padStart(10)} echoes/s`,
      );
    }
  }
} finally {
  await rm(folder, { recursive: true });
}

async function measure(
  echo: Echo,
  size: number,
  window: number,
  forSeconds: number,
): Promise<{ cpuUs: number; rate: number }> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const until = start + forSeconds * 1_000;
  const echoes = await echo(size, window, () => performance.now() > until);
  const used = process.cpuUsage(cpu);
  // An echo is two messages, each with a sending and a receiving end.
  return { cpuUs: (used.user + used.system) / (echoes * 4), rate: (echoes * 1_000) / (performance.now() - start) };
}
