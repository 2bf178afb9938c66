// Process groups of commands, and the reaper that ends them when this process is gone. One for each executor that runs
// commands in this process; started with the first command.
export interface Groups {
  /** A group was started, or ended. */
  readonly note: (group: number, isRunning: boolean) => void;
  /** Ends what is left of the run's processes, and the reaper. */
  close(): Promise<void>;
}

export function watchGroups(_mark: string): Groups {
  return { note: () => {}, close: async () => {} };
}
