// `npm start`: sets up what is missing, and runs the census of source code over the folder that is given, or over the
// project's own node_modules.
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, root } from './ready.js';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`Chervil needs Node.js 20.19 or newer; this is ${process.versions.node}\n`);
  process.exit(1);
}
ensureInstalled();
ensureBuilt();
const program = join(root, 'examples', 'census', 'census.ts');
process.stderr.write('running chervil run examples/census/census.ts …\n');
process.argv = [process.execPath, join(root, 'bin', 'chervil.js'), 'run', program, '--', ...process.argv.slice(2)];
// In this process: nothing stands between the terminal and the program.
await import('../bin/chervil.js');
