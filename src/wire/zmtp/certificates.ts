// The certificate directory: four key files as the Python peers write and read them. Used by whoever makes CURVE sockets.
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ZmtpError } from './failures.ts';
import { loadSodium } from './sodium.ts';
import { decodeZ85, encodeZ85 } from './z85.ts';

/** A key pair as Z85 texts of 40 characters. */
export interface Certificate {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** What a certificate directory holds. */
export interface Certificates {
  readonly directory: string;
  readonly server: Certificate;
  readonly client: Certificate;
  /** The public keys of all `*.key` files: who may connect to a server that uses this directory. */
  readonly allowed: ReadonlySet<string>;
}

const privateMode = 0o700;

/**
 * Makes new keys for a server and its clients in `<baseDirectory>/certificates` (mode 0700, made if it is not there) and
 * returns that directory. Key files that are there already are replaced.
 *
 * @example
 * const certificates = await readCertificates(await createCertificates('runinfo/000/htex'));
 */
export async function createCertificates(baseDirectory: string): Promise<string> {
  const directory = join(baseDirectory, 'certificates');
  await mkdir(directory, { recursive: true, mode: privateMode });
  // The umask takes bits from mkdir's mode, and the directory may be an old one.
  await chmod(directory, privateMode);
  const sodium = await loadSodium();
  for (const name of ['server', 'client']) {
    const { publicKey, secretKey } = sodium.keyPair();
    const certificate = { publicKey: encodeZ85(publicKey), secretKey: encodeZ85(secretKey) };
    await writeFile(join(directory, `${name}.key`), publicFile(certificate));
    await writeFile(join(directory, `${name}.key_secret`), secretFile(certificate), { mode: 0o600 });
  }
  return directory;
}

/**
 * Reads a certificate directory. Throws {@link ZmtpError}: CERTIFICATES_MISSING when the directory or a file is not there,
 * CERTIFICATES_NOT_PRIVATE when its mode is not exactly 0700, CERTIFICATES_BROKEN when a file has no usable key.
 */
export async function readCertificates(directory: string): Promise<Certificates> {
  await checkPrivate(directory);
  const server = await readCertificate(join(directory, 'server.key_secret'));
  const client = await readCertificate(join(directory, 'client.key_secret'));
  const allowed = new Set<string>();
  for (const name of await readdir(directory)) {
    if (name.endsWith('.key')) allowed.add(await readPublicKey(join(directory, name)));
  }
  return { directory, server, client, allowed };
}

async function checkPrivate(directory: string): Promise<void> {
  const found = await stat(directory).catch((cause: unknown) => {
    throw new ZmtpError(
      'CERTIFICATES_MISSING',
      `There is no certificate directory ${directory}. It is made by the submitting side; is it on a shared file system?`,
      { cause },
    );
  });
  if (!found.isDirectory())
    throw new ZmtpError(
      'CERTIFICATES_MISSING',
      `${directory} is not a directory. Give the directory that holds server.key_secret.`,
    );
  const mode = found.mode & 0o777;
  if (mode !== privateMode) {
    const shown = mode.toString(8).padStart(4, '0');
    throw new ZmtpError(
      'CERTIFICATES_NOT_PRIVATE',
      `The certificate directory ${directory} has mode ${shown} and must have 0700, as it holds secret keys. Try: chmod 700 ${directory}`,
    );
  }
}

async function readCertificate(file: string): Promise<Certificate> {
  const { publicKey, secretKey } = parse(await read(file));
  if (publicKey === undefined || secretKey === undefined) {
    throw new ZmtpError(
      'CERTIFICATES_BROKEN',
      `The key file ${file} lacks a public-key or secret-key of 40 characters of Z85. Make new certificates.`,
    );
  }
  return { publicKey, secretKey };
}

async function readPublicKey(file: string): Promise<string> {
  const { publicKey } = parse(await read(file));
  if (publicKey === undefined) {
    throw new ZmtpError(
      'CERTIFICATES_BROKEN',
      `The key file ${file} lacks a public-key of 40 characters of Z85. Make new certificates.`,
    );
  }
  return publicKey;
}

async function read(file: string): Promise<string> {
  return readFile(file, 'latin1').catch((cause: unknown) => {
    throw new ZmtpError(
      'CERTIFICATES_MISSING',
      `The key file ${file} cannot be read. Make new certificates, or check who owns them.`,
      { cause },
    );
  });
}

function parse(text: string): Partial<Certificate> {
  const found: { publicKey?: string; secretKey?: string } = {};
  for (const line of text.split('\n')) {
    // The key is quoted by either quote; Z85 itself has neither quotes nor spaces.
    const match = /^\s*(public|secret)-key\s*=\s*["']?([^"'\s]+)["']?\s*$/.exec(line);
    if (match === null || decodeZ85(match[2]!)?.length !== 32) continue;
    found[match[1] === 'public' ? 'publicKey' : 'secretKey'] = match[2]!;
  }
  return found;
}

const publicFile = (certificate: Certificate): string =>
  `#   Public CURVE certificate, made by Chervil.\n#   Peers that know this key can check who they talk to.\n\nmetadata\ncurve\n    public-key = "${certificate.publicKey}"\n`;

const secretFile = (certificate: Certificate): string =>
  `#   Secret CURVE certificate, made by Chervil. Keep it to yourself.\n\nmetadata\ncurve\n    public-key = "${certificate.publicKey}"\n    secret-key = "${certificate.secretKey}"\n`;
