// Who has which job, when pool and worker both want to know: the file that they share.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PoolClaims, WorkerClaims } from '#src/wire/claims.js';

test('what a worker has begun cannot be taken back, and what was taken back is not begun', () => {
  const pool = new PoolClaims();
  try {
    const worker = new WorkerClaims(pool.fd);
    assert.equal(pool.begun, 0);
    assert.ok(worker.begin(1));
    assert.ok(worker.begin(2));
    assert.equal(pool.begun, 2);
    assert.equal(pool.takeBack(2, 5), 2);
    assert.ok(!worker.begin(3));
    assert.ok(!worker.begin(5));
    assert.ok(worker.begin(6));
    assert.equal(pool.takeBack(7, 7), 6);
    assert.ok(!worker.begin(7));
    assert.ok(worker.begin(8));
  } finally {
    pool.close();
  }
});
