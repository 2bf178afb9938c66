// inline passes the conformance suite, as far as one thread can.
import { inline } from '#src/executors/inline.js';
import { conformance } from '#src/testing/index.js';

conformance({ name: 'inline', make: () => inline(), supports: { kill: false, crash: false, output: false } });
