// threads passes the conformance suite, and does what only threads do.
import { threads } from '#src/executors/threads.js';
import { conformance } from '#src/testing/index.js';

conformance({ name: 'threads', make: () => threads({ max: 2, memoryMegabytes: 64 }), supports: { memory: true } });
