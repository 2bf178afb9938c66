"""What the Parsl programs of the tests share: executors that start Chervil's interchange, waiting, reporting."""
import json
import os
import time

from parsl.executors import HighThroughputExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

interchange = json.loads(os.environ["CHERVIL_INTERCHANGE"])
patience = 90


def executor(label, *, workers=1, **more):
    """An executor of one node; `more` overrides anything."""
    options = {
        "label": label,
        "address": "127.0.0.1",
        "max_workers_per_node": workers,
        "cores_per_worker": 0.01,
        "interchange_launch_cmd": interchange,
        "heartbeat_period": 1,
        "heartbeat_threshold": 15,
        "address_probe_timeout": 10,
        "worker_debug": True,
        "encrypted": False,
        # The tests kill pools; Parsl would give the whole executor up.
        "block_error_handler": False,
        "provider": LocalProvider(
            init_blocks=0, min_blocks=0, max_blocks=8, launcher=SimpleLauncher()
        ),
    }
    options.update(more)
    return HighThroughputExecutor(**options)


def until(what, condition):
    """Waits for a condition that nothing announces; fails after a long time, naming what did not happen."""
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)


def managers(htex):
    reply = htex.connected_managers
    return reply() if callable(reply) else reply


def ready(htex):
    """Starts a block and waits for its manager. Pools before 2025.07 may fail to find a good address: then once more."""
    known = {m["manager"] for m in managers(htex)}
    for _ in range(5):
        htex.scale_out_facade(1)
        new = []

        def settled():
            new[:] = [m for m in managers(htex) if m["manager"] not in known]
            running = [s for s in htex.status().values() if not s.terminal]
            return new or len(running) <= len(known)

        until("a block of %s starts or ends" % htex.label, settled)
        if new:
            return new[0]
    raise TimeoutError("no block of %s found its interchange" % htex.label)


def blocks(htex):
    reply = htex.connected_blocks
    return reply() if callable(reply) else reply


def failure(future):
    """The name and text of the exception of a future."""
    error = future.exception(timeout=patience)
    return [type(error).__name__, str(error)]


def tell(scenario, **facts):
    print(json.dumps({"scenario": scenario, **facts}), flush=True)
