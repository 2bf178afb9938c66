// `chervil interchange --status ADDR`: asks a running interchange through its pool port and prints what it says.
import { printable } from '../base/printable.ts';
import { readStatus, type StatusReport } from '../wire/messages/command.ts';
import { writeManagerMessage } from '../wire/messages/manager.ts';
import { decode } from '../wire/pickle.ts';
import { parseEndpoint } from '../wire/zmtp/endpoint.ts';
import { createSocket, curveClient, nullMechanism, readCertificates } from '../wire/zmtp/socket.ts';
import { openPromise } from './promise.ts';

const patienceMs = 5_000;

/** Prints the status of the interchange whose pool port is at `address`; resolves with the exit status. */
export async function showStatus(address: string, certDir: string | undefined, isJson: boolean): Promise<number> {
  const endpoint = address.startsWith('tcp://') ? address : `tcp://${address}`;
  const parsed = parseEndpoint(endpoint);
  if (!parsed.ok || parsed.value.kind !== 'tcp' || parsed.value.port === 0 || parsed.value.host === '*') {
    process.stderr.write(
      `--status wants HOST:PORT, as 127.0.0.1:54321 or [::1]:54321, and got ${JSON.stringify(address)}\n`,
    );
    return 2;
  }
  try {
    const report = await askStatus(endpoint, certDir);
    process.stdout.write(isJson ? `${JSON.stringify(report)}\n` : formatStatus(report));
    return 0;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
}

/** Asks for the status. Rejects when no answer comes within five seconds, as a Python interchange gives none. */
export async function askStatus(endpoint: string, certDir?: string): Promise<StatusReport> {
  const keys = certDir === undefined ? undefined : await readCertificates(certDir);
  const mechanism = keys ? await curveClient({ ...keys.client, serverKey: keys.server.publicKey }) : nullMechanism;
  const { promise, resolve, reject } = openPromise<StatusReport>();
  await using dealer = createSocket({
    type: 'dealer',
    mechanism,
    lingerMs: 0,
    identity: `status-${process.pid}`,
    onMessage: ([frame]) => {
      const value = frame && decode(frame);
      const report = value?.ok ? readStatus(value.value) : undefined;
      if (report?.ok) resolve(report.value);
      else reject(new Error(`${endpoint} answered, but not as a Chervil interchange.`));
    },
    onPeerFailed: (_address, { detail }) => {
      const words = inWords(detail);
      reject(new Error(`No interchange at ${endpoint}: ${words}.${hintAbout(words, certDir)}`));
    },
  });
  dealer.connect(endpoint);
  dealer.send([writeManagerMessage({ type: 'chervil_status' })]);
  const silence = setTimeout(
    () =>
      reject(
        new Error(
          `${endpoint} did not answer in ${patienceMs / 1_000} s; is it the pool port of a Chervil interchange?`,
        ),
      ),
    patienceMs,
  );
  try {
    return await promise;
  } finally {
    clearTimeout(silence);
  }
}

/** What to try. The interchange of an encrypted run says nothing to who has not its key. */
function hintAbout(words: string, certDir: string | undefined): string {
  if (words.includes('closed the connection'))
    return certDir === undefined
      ? ' If its run is encrypted, name its certificates with --cert-dir.'
      : ` Are these the certificates of its run: ${certDir}?`;
  return words.includes('it wants "NULL"') ? ' Its run is not encrypted: leave --cert-dir out.' : '';
}

/** Whether a peer that closes at once is seen to close, or to have closed, is chance. */
function inWords(detail: string): string {
  return /ECONNRESET|EPIPE/.test(detail) ? `it closed the connection (${detail})` : detail;
}

/** The report for people. */
export function formatStatus({ counters, managers, lanes, refusals }: StatusReport): string {
  const { received, queued, leased, answered } = counters;
  const missing = received - queued - leased - answered;
  const lines = [
    `tasks      ${received} received = ${queued} queued + ${leased} with managers + ${answered} answered; ${missing} unaccounted for`,
    `answers    ${counters.results} results, ${counters.failures} failures made here (${counters.cancelled} cancelled)`,
    `dropped    ${counters.strayResults} stray results, ${counters.malformed} malformed messages, ${counters.duplicates} repeated tasks`,
    `managers   ${managers.length} now; ${counters.managersRegistered} registered, ${counters.managersRefused} refused, ${counters.managersLost} lost so far`,
    ...lanes.map((lane) => `runtime    ${JSON.stringify(lane.runtime)}: ${lane.readyManagers} managers ready`),
    ...managers.map((manager) => {
      const state = manager.isDraining ? 'drains' : manager.isActive ? 'active' : 'held';
      const doing = manager.tasks > 0 ? `${manager.tasks} tasks` : `idle for ${manager.idleSeconds.toFixed(1)} s`;
      const doubt = manager.doubt === undefined ? '' : `\n    may be a stray one: ${JSON.stringify(manager.doubt)}`;
      const { parslVersion, pythonVersion } = manager;
      const versions = JSON.stringify(`Parsl ${parslVersion}, Python ${pythonVersion}`).slice(1, -1);
      return `  ${manager.manager}  block ${JSON.stringify(manager.blockId)}  ${manager.workerCount} workers  ${doing}  ${state}  ${versions}${doubt}`;
    }),
    ...refusals.map(
      (refusal) => `  refused ${refusal.manager} (${refusal.times} times): ${JSON.stringify(refusal.reason)}`,
    ),
  ];
  // Pools name themselves, and JSON leaves some characters as they are that terminals act upon.
  return `${lines.join('\n').split('\n').map(printable).join('\n')}\n`;
}
