// Ctrl-C: once cancels the run and lets the program clean up, twice ends the process at once.
import type { Kernel } from '../kernel/kernel.ts';

let presses = 0;
const kernels = new Set<Kernel>();
const signals = ['SIGINT', 'SIGTERM'] as const;

/** Watches for Ctrl-C (and SIGTERM) on behalf of a run. The returned function ends that. */
export function watchSignals(kernel: Kernel): () => void {
  kernels.add(kernel);
  if (kernels.size === 1) {
    presses = 0;
    for (const signal of signals) process.on(signal, onSignal);
  }
  return () => {
    kernels.delete(kernel);
    if (kernels.size === 0) for (const signal of signals) process.off(signal, onSignal);
  };
}

function onSignal(signal: NodeJS.Signals): void {
  const exitCode = signal === 'SIGINT' ? 130 : 143;
  presses++;
  if (presses > 1) process.exit(exitCode);
  process.exitCode = exitCode;
  let live = 0;
  for (const kernel of kernels) live += kernel.live;
  process.stderr.write(`\nchervil: cancelling ${live} ${live === 1 ? 'task' : 'tasks'}; Ctrl-C again ends at once\n`);
  for (const kernel of kernels) kernel.cancelAll(signal === 'SIGINT' ? 'Ctrl-C' : 'SIGTERM');
}
