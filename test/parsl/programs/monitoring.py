"""A monitored and encrypted run; prints how many rows each table of the monitoring database has."""
import glob
import os
import sqlite3
import time

import parsl
from chervil_parsl import executor, managers, patience, ready, tell
from parsl.app.app import python_app
from parsl.config import Config
from parsl.monitoring import MonitoringHub


@python_app
def pause(seconds):
    import time

    time.sleep(seconds)


if __name__ == "__main__":
    htex = executor("watched", encrypted=True)
    hub = MonitoringHub(resource_monitoring_interval=0.5)
    parsl.load(Config(executors=[htex], strategy="none", usage_tracking=0, monitoring=hub))
    ready(htex)
    for future in [pause(0), pause(2), pause(0)]:
        future.result(timeout=patience)
    manager = managers(htex)[0]
    alive = htex.interchange_proc.poll()
    parsl.dfk().cleanup()
    [path] = glob.glob("runinfo/monitoring.db")
    with sqlite3.connect(path) as database:
        rows = {
            name: database.execute("select count(*) from " + name).fetchone()[0]
            for name in ("workflow", "task", "try", "status", "resource", "block", "node")
        }
        nodes = database.execute("select uid, block_id, worker_count, active, hostname from node").fetchall()
    tell("monitoring", rows=rows, nodes=nodes, manager=manager["manager"], alive=alive)
