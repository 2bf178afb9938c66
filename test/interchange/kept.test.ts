// What has left the books is let go of, also where something that stays stands before it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countKept } from '../support/garbage.ts';
import { Bench, emptyBody, registration, seeded, withSeed } from './builders.ts';

const count = 2_000;

for (const selector of ['random', 'block-id'] as const) {
  test(`managers that came and went while another one is ready (${selector})`, async () => {
    const bench = new Bench({ selector });
    const join = (peer: string, blockId: string): void => {
      const changes = { uid: peer, blockId };
      bench.take({ type: 'registration', peer, style: 'one-port', registration: registration(changes) });
    };
    join('top', '9');
    const references: WeakRef<object>[] = [];
    for (let at = 0; at < count; at++) {
      join(`p${at}`, '1');
      const manager = bench.state.managers.get(`p${at}`);
      assert.ok(manager !== undefined);
      references.push(new WeakRef(manager));
      bench.take({ type: 'drain', peer: `p${at}` });
    }
    assert.equal(bench.state.managers.size, 1);
    const left = await countKept(references);
    assert.ok(left <= count / 4, `${left} of ${count} are kept`);
    // The one that stayed is still served.
    bench.take({ type: 'task', taskId: 1, priority: undefined, runtime: undefined, ...emptyBody });
    assert.equal(bench.state.counters.leased, 1);
  });
}

for (const order of ['in turn', 'at random'] as const) {
  test(`tasks cancelled while one before them waits, with priorities ${order}`, async () => {
    const references: WeakRef<object>[] = [];
    const bench = new Bench();
    withSeed((seed) => {
      const random = seeded(seed);
      const submit = (taskId: number, priority: number): void => {
        bench.take({ type: 'task', taskId, priority, runtime: undefined, ...emptyBody });
      };
      submit(0, -1);
      for (let taskId = 1; taskId <= count; taskId++) {
        submit(taskId, order === 'in turn' ? 0 : random());
        const task = bench.state.tasks.get(taskId);
        assert.ok(task !== undefined);
        references.push(new WeakRef(task));
        const command = { name: 'cancel', taskIds: [taskId] } as const;
        bench.take({ type: 'command', token: 0, command });
      }
    });
    assert.deepEqual([bench.state.tasks.size, bench.state.counters.queued], [1, 1]);
    const left = await countKept(references);
    assert.ok(left <= count / 4, `${left} of ${count} are kept`);
  });
}
