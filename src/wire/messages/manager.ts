// What pools ("managers" on the wire) and the interchange say to one another, apart from the result items. Decoded by
// the interchange's pool port, written by the pool.

/** The packages of a pool's Python: name to version. Either may be missing for a broken installation. */
export type Packages = ReadonlyMap<string, string>;

/** What a pool says of itself when it registers. Only what the interchange uses was checked; the rest is as it came. */
export interface Registration {
  readonly parslVersion: string;
  readonly pythonVersion: string;
  /** `undefined` before 2025.02.17. */
  readonly packages: Packages | undefined;
  readonly workerCount: number;
  readonly uid: string;
  readonly blockId: string;
  /** Seconds since the epoch, by the pool's clock. */
  readonly startTime: number;
  readonly prefetchCapacity: number;
  readonly maxCapacity: number;
  readonly os: string;
  readonly hostname: string;
  readonly dir: string;
  /** Physical cores; `undefined` where the pool could not tell. */
  readonly cpuCount: number | undefined;
  readonly totalMemory: number | bigint | undefined;
  /** Extension key `chervil_runtimes`: what its workers can run. A pool that says nothing runs Python. */
  readonly runtimes: readonly string[];
  /** Extension key `chervil_extensions`: what else it understands. Empty for Python pools. */
  readonly extensions: readonly Extension[];
}

/** What Chervil peers may agree on beyond Parsl's protocol. */
export type Extension = 'cancel' | 'refusal' | 'batch';

export const knownExtensions = ['cancel', 'refusal', 'batch'] as const satisfies readonly Extension[];
