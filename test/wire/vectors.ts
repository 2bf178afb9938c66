// Bytes captured between real Parsl processes; see fixtures/vectors/README.md.
import { readFileSync } from 'node:fs';

export interface Captured {
  readonly scenario: string;
  readonly channel: string;
  readonly from: string;
  readonly to: string;
  readonly kind: string;
  readonly frames: readonly Uint8Array[];
}

export interface Malformed {
  readonly case: string;
  readonly socket: 'manager' | 'result' | 'task' | 'command';
  readonly isRegistered: boolean;
  readonly frames: readonly (Uint8Array | undefined)[];
}

export const releases = ['2024.09.02', '2025.06.30', '2026.07.27'] as const;

interface Row {
  readonly [key: string]: unknown;
  readonly frames_hex: readonly (string | null)[];
}

function rows(name: string): Row[] {
  const text = readFileSync(new URL(`../fixtures/vectors/${name}.jsonl`, import.meta.url), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row);
}

export function captured(release: (typeof releases)[number]): Captured[] {
  return rows(release).map((row) => ({
    scenario: String(row['scenario']),
    channel: String(row['channel']),
    from: String(row['from']),
    to: String(row['to']),
    kind: String(row['kind']),
    frames: row.frames_hex.map((hex) => Buffer.from(hex ?? '', 'hex')),
  }));
}

export function malformed(): Malformed[] {
  return rows('malformed-interchange').map((row) => ({
    case: String(row['case']),
    socket: row['socket'] as Malformed['socket'],
    isRegistered: row['manager_registered_first'] === true,
    frames: row.frames_hex.map((hex) => (hex === null ? undefined : Buffer.from(hex, 'hex'))),
  }));
}
