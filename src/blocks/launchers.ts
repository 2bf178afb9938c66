// Launchers: how one command becomes the commands of all nodes of a block. Each is a function from text to text.

/** Wraps the command of a pool. */
export type Launcher = (command: string, nodesPerBlock: number) => string;

/** The command as it is. For providers that start it on every node themselves. */
export function simpleLauncher(): Launcher {
  return (command) => command;
}

/**
 * One copy on the node where the block's script runs, which knows the node's cores in CORES. The script ends as the copy does, and passes
 * signals on to it, also under `set -eu`.
 *
 * @example
 * local({ launcher: singleNodeLauncher() })
 */
export function singleNodeLauncher(): Launcher {
  return (command) =>
    `export CORES=$(getconf _NPROCESSORS_ONLN)\n${command} &\nchild=$!\ntrap 'kill -TERM $child 2>/dev/null || :' TERM INT HUP\ncode=0\nwait $child || code=$?\nwhile kill -0 $child 2>/dev/null; do code=0; wait $child || code=$?; done\nexit $code`;
}

/** The command behind another one, such as a container's. */
export function wrappedLauncher(prepend: string): Launcher {
  return (command) => `${prepend} ${command}`;
}
