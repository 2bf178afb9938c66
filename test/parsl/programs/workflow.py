"""One Parsl program that lives through all that an interchange must bear; each scenario prints one line of JSON."""
import os
import random
import signal
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import parsl
from chervil_parsl import blocks, executor, failure, managers, patience, ready, tell, until
from parsl.app.app import python_app
from parsl.config import Config
from parsl.version import VERSION

can_prioritize = VERSION >= "2025.06.02"
# `direct` names the command and is encrypted; `path` finds an interchange.py on PATH; `leaving` drains by itself.
direct = executor("direct", workers=2, encrypted=True)
path = executor("path", interchange_launch_cmd=None)
leaving = executor("leaving", drain_period=30)
everything = [direct, path, leaving]


@python_app(executors=["direct"])
def double_direct(number):
    return 2 * number


@python_app(executors=["path"])
def double_path(number):
    return 2 * number


@python_app(executors=["direct"])
def raises(text):
    raise ValueError(text)


@python_app(executors=["direct"])
def measure(data, size):
    return len(data), b"r" * size


@python_app(executors=["direct"])
def die():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


@python_app(executors=["path"])
def wait_for(name):
    """Writes the pid of its pool, then waits for somebody to remove the file."""
    import os
    import time

    with open(name + ".new", "w") as file:
        file.write(str(os.getppid()))
    os.rename(name + ".new", name)
    while os.path.exists(name):
        time.sleep(0.02)


@python_app(executors=["leaving"])
def wait_leaving(name):
    import os
    import time

    with open(name, "w"):
        pass
    while os.path.exists(name):
        time.sleep(0.02)
    return "done"


@python_app(executors=["path"])
def note(name, number, parsl_resource_specification={}):
    with open(name, "a") as file:
        file.write("%d " % number)


def success():
    numbers = range(100)
    futures = [app(number) for number in numbers for app in (double_direct, double_path)]
    doubles = [future.result(timeout=patience) for future in futures]
    return {"isRight": doubles == [2 * number for number in numbers for _ in (0, 1)]}


def exception():
    return {"failure": failure(raises("as it was said"))}


def large():
    size = 16 * 1024 * 1024
    taken, given = measure(b"a" * size, size).result(timeout=patience)
    return {"isRight": (taken, len(given), set(given)) == (size, size, {ord("r")})}


def worker_killed():
    lost = failure(die())
    return {"failure": lost, "after": double_direct(4).result(timeout=patience)}


def commands():
    found = {"managers": managers(direct), "blocks": blocks(direct)}
    if hasattr(direct, "connected_managers_packages"):
        reply = direct.connected_managers_packages
        reply = reply() if callable(reply) else reply
        found["packages"] = {name: packages.get("parsl") for name, packages in reply.items()}
    found["version"] = VERSION
    return found


def priority():
    if not can_prioritize:
        return {"order": None}
    name = os.path.abspath("busy")
    busy = wait_for(name)
    until("the worker is busy", lambda: os.path.exists(name))
    order = list(range(20))
    random.Random(7).shuffle(order)
    notes = os.path.abspath("order")
    futures = [note(notes, number, parsl_resource_specification={"priority": number}) for number in order]
    futures.append(note(notes, 20))
    until("all are queued", lambda: path.outstanding() == 22 if callable(path.outstanding) else path.outstanding == 22)
    # One answered command more, so that the tasks, sent before, have been read.
    managers(path)
    os.remove(name)
    for future in [busy, *futures]:
        future.result(timeout=patience)
    with open(notes) as file:
        return {"order": [int(number) for number in file.read().split()]}


def manager_killed():
    name = os.path.abspath("pool")
    lost = wait_for(name)
    until("the task runs", lambda: os.path.exists(name))
    with open(name) as file:
        os.kill(int(file.read()), signal.SIGKILL)
    found = failure(lost)
    os.remove(name)
    until("the manager is forgotten", lambda: managers(path) == [])
    ready(path)
    return {"failure": found, "after": double_path(8).result(timeout=patience)}


def hold():
    before = until("a manager", lambda: managers(path))
    path._hold_block(before[0]["block_id"])
    held = until("the manager is held", lambda: [m for m in managers(path) if not m["active"]])
    waiting = double_path(16)
    ready(path)
    after = waiting.result(timeout=patience)
    found = managers(path)
    return {"before": before[0]["manager"], "held": [m["manager"] for m in held], "after": after, "active": [m["active"] for m in found]}


def drain():
    until("the manager drains", lambda: [m for m in managers(leaving) if m["draining"]])
    kept = [m["tasks"] for m in managers(leaving)]
    os.remove(leaving_name)
    result = last.result(timeout=patience)
    until("the manager is gone", lambda: managers(leaving) == [])
    ended = until("its pool has ended", lambda: [s.state.name for s in leaving.status().values() if s.terminal])
    return {"kept": kept, "result": result, "ended": ended}


scenarios = [success, commands, exception, large, worker_killed, priority, manager_killed, hold, drain]

if __name__ == "__main__":
    parsl.load(Config(executors=everything, strategy="none", usage_tracking=0))
    # The drain period of this one runs while the other scenarios do.
    leaving_name = os.path.abspath("leaving")
    last = wait_leaving(leaving_name)
    with ThreadPoolExecutor() as threads:
        list(threads.map(ready, everything))
    interchanges = [htex.interchange_proc for htex in everything]
    tell("start", pids=[process.pid for process in interchanges], version=VERSION)
    for scenario in scenarios:
        begin = time.monotonic()
        try:
            facts = scenario()
        except Exception:
            facts = {"error": traceback.format_exc()}
        tell(scenario.__name__, seconds=round(time.monotonic() - begin, 1), **facts)
    codes = []
    alive = [process.poll() for process in interchanges]
    parsl.dfk().cleanup()
    for process in interchanges:
        codes.append(process.returncode)
    tell("end", alive=alive, codes=codes)
