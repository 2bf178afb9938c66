// Which file systems lie on another machine: SQLite's WAL needs memory that all readers share, and no network has that.
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';

/** Names by the number that Linux gives. FUSE may be anything; mostly it is sshfs or another network. */
const networks: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x19830326, 'BeeGFS'],
  [0x00c36400, 'Ceph'],
  [0x5346414f, 'AFS'],
  [0xaad7aaea, 'PanFS'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
]);

/**
 * The name of the network file system that `path` is on, or `undefined` when it is a local one, or cannot be told.
 *
 * @example
 * networkFileSystem('/home/ada/runinfo/monitoring.db'); // 'NFS'
 */
export function networkFileSystem(path: string): string | undefined {
  try {
    return networks.get(statfsSync(dirname(path)).type >>> 0);
  } catch {
    return undefined; // No such directory, or no such call: opening the file will tell more.
  }
}
