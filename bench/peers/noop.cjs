// The no-op of jest-worker, which calls exports by name.
exports.noop = (n) => n;
