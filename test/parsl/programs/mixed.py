"""A run that a pool of another release joins, or tries to join.

Arguments: that release's Python, how its pool is told the port, which release it is, and `refused` or `joins`.
"""
import os
import subprocess
import sys

import parsl
from chervil_parsl import executor, interchange, managers, patience, ready, tell, until
from parsl.app.app import python_app
from parsl.config import Config


@python_app
def double(number):
    return 2 * number


def ports(htex):
    """Where pools connect: one port, or before 2025.06.30 one for tasks and one for results."""
    if hasattr(htex, "worker_port") and htex.worker_port:
        return [htex.worker_port, htex.worker_port]
    return [htex.worker_task_port, htex.worker_result_port]


if __name__ == "__main__":
    foreign, style, release, expected = sys.argv[1:]
    policy = ["--on-mismatch", "accept"] if expected == "joins" else []
    htex = executor("home", workers=2, interchange_launch_cmd=interchange + policy)
    parsl.load(Config(executors=[htex], strategy="none", usage_tracking=0))
    if expected == "refused":
        ready(htex)
    first, second = ports(htex)
    flags = ["-t", str(first), "-r", str(second)] if style == "two-port" else ["--port", str(first)]
    bin = os.path.dirname(foreign)
    command = [
        os.path.join(bin, "process_worker_pool.py"),
        *flags,
        *("--max_workers_per_node=1 -a 127.0.0.1 -p 0 -c 0.01 -m None --poll 10 --cert_dir None").split(),
        *("--logdir=stray --block_id=stray --hb_period=1 --hb_threshold=15 --drain_period=None").split(),
        *("--address_probe_timeout=10 --cpu-affinity none --mpi-launcher=mpiexec").split(),
        *(["--logconf=None"] if release >= "2026.6" else []),
        "--available-accelerators",
    ]

    def run_stray():
        """How the stray pool ended."""
        environment = {**os.environ, "PATH": bin + ":" + os.environ["PATH"]}
        stray = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            if expected == "joins":
                until("the pool joins or ends", lambda: managers(htex) or stray.poll() is not None)
                if stray.poll() is None:
                    for future in before:
                        future.result(timeout=patience)
                    stray.terminate()
            return stray.wait(timeout=60)
        except subprocess.TimeoutExpired:
            stray.kill()
            return "still there"

    log = os.path.join(htex.logdir, "interchange.log")
    before = [double(number) for number in range(50)]
    code = run_stray()
    for _ in range(4):
        # Pools before 2025.07 may fail to find a good address, and then end so.
        if code == 5:
            code = run_stray()
    after = [double(number) for number in range(50)] if expected == "refused" else before
    doubles = [future.result(timeout=patience) for future in before + after]
    blocks = [m["block_id"] for m in managers(htex)]
    alive = htex.interchange_proc.poll()
    parsl.dfk().cleanup()
    with open(log) as file:
        refusals = [line.strip() for line in file if "Refused" in line]
    tell(
        "mixed",
        isRight=doubles == [2 * number for number in range(50)] * 2,
        code=code,
        blocks=blocks,
        refusals=refusals,
        alive=alive,
    )
