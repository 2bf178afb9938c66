# The program of a Python worker process: takes jobs from its pool, runs one at a time, and sends results back in batches. The Python
# twin of main.ts; src/wire/link.ts has the frames, src/wire/claims.ts the claims, src/wire/python/job.ts the form of a job.
#
#   pool --fd 3: frames both ways--> worker     fd 4: ends when the pool is gone, watched by a process of its own
#        --fd 5: who has which job--            fd 1, 2: the worker's log
#
# Python 3.8 or later, its standard library only. Parsl, dill and numpy are used where a task brings them along: a task that Parsl's
# own submitter made is read and answered by Parsl, if it can be imported here.
import os
import pickle
import signal
import struct
import sys
import time
import types

LINK, WATCH, CLAIMS = 3, 4, 5

# Kinds of frames, as in link.ts.
JOB = 1
READY, VALUE, FAILURE, PASSED_OVER, BEGAN, NOTE, EXITING, ITEM, LOADING = 1, 2, 3, 5, 6, 7, 9, 10, 12
# Bits of a job, as in job.ts.
TOLD, OUTPUT, TIMED, CHERVIL, FILES = 1, 2, 4, 8, 16

# The first byte of what stands for a value in a file, as in value-files.ts.
REFERENCE = 0xE3

QUICK_MS = 0.2
BATCH = 64
TRUSTED_RUNS = 3
KEPT_FUNCTIONS = 256
# Files of values as long as this are read into memory that is kept for the next.
KEPT_BYTES = 16 << 20


def watch_pool():
    """Ends this worker with all that it started when the pool is gone, whatever the worker is doing: a process of its own can do so
    while an extension holds the interpreter, or this process is stopped."""
    if os.fork() != 0:
        os.close(WATCH)
        return
    for fd in (0, 1, 2, LINK, CLAIMS):
        try:
            os.close(fd)
        except OSError:
            pass
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    while True:
        try:
            if os.read(WATCH, 1) == b"":
                break
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            break
    os.killpg(os.getpgrp(), signal.SIGKILL)


class Link:
    """Frames to and from the pool. What is added leaves with the next flush."""

    def __init__(self):
        from _thread import RLock

        self.lock = RLock()
        self.out = []
        self.buffer = bytearray()
        self.start = 0
        self.answers = 0

    def add(self, what, ticket, *parts):
        size = 5 + sum(len(part) for part in parts)
        with self.lock:
            self.out.append(struct.pack("<IBI", size, what, ticket))
            self.out.extend(parts)

    def answer(self, what, ticket, took_ms, began_at, payload):
        self.answers += 1
        self.add(what, ticket, struct.pack("<fd", took_ms, began_at), payload)

    def flush(self):
        with self.lock:
            if not self.out:
                return
            data = memoryview(b"".join(self.out))
            self.out = []
            self.answers = 0
            while len(data) > 0:
                data = data[os.write(LINK, data):]

    def take(self):
        """The next frame, when it is here. Ends the process when the pool has closed the link."""
        while True:
            at, have = self.start, len(self.buffer)
            if have - at >= 4:
                (size,) = struct.unpack_from("<I", self.buffer, at)
                end = at + 4 + size
                if have >= end:
                    what, ticket = struct.unpack_from("<BI", self.buffer, at + 4)
                    frame = bytes(self.buffer[at + 9:end])
                    self.start = end
                    return what, ticket, frame
                wanted = max(65536, end - have)
            else:
                wanted = 65536
            if at > 0:
                del self.buffer[:at]
                self.start = 0
            self.flush()
            piece = os.read(LINK, min(wanted, 1 << 24))
            if piece == b"":
                os.killpg(os.getpgrp(), signal.SIGKILL)
            self.buffer += piece


def claim(ticket):
    """Takes a job to run it. False when the pool took it back."""
    os.pwrite(CLAIMS, struct.pack("<I", ticket), 0)
    first, last = struct.unpack("<II", os.pread(CLAIMS, 8, 8))
    return first == 0 or ticket < first or ticket > last


class Output:
    """What bodies print: as notes to whoever wants to see it, else to this worker's log."""

    encoding = "utf-8"
    errors = "backslashreplace"
    closed = False
    mode = "w"

    def __init__(self, worker, kind, original):
        self.worker = worker
        self.kind = kind
        self.original = original
        self.buffer = original.buffer
        self.name = original.name
        self.waiting = []
        self.waits = False
        self.sent_at = 0.0

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        ticket = self.worker.output_ticket
        if ticket is None:
            self.original.write(text)
            self.original.flush()
            return len(text)
        with self.worker.link.lock:
            self.waiting.append(text)
            if time.monotonic() - self.sent_at > 0.05 and text.endswith("\n"):
                self.send()
            elif not self.waits:
                self.waits = True
                self.later()
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def later(self):
        from threading import Timer

        timer = Timer(0.05, self.send)
        timer.daemon = True
        timer.start()

    def send(self):
        """Sends what waits, for the task that runs."""
        with self.worker.link.lock:
            self.waits = False
            ticket = self.worker.output_ticket
            if not self.waiting or ticket is None:
                return
            text, self.waiting = "".join(self.waiting), []
            self.sent_at = time.monotonic()
            self.worker.link.add(NOTE, ticket, self.kind + text.encode("utf-8", "backslashreplace"))
            self.worker.link.flush()

    def flush(self):
        self.send()

    def isatty(self):
        return False

    def fileno(self):
        return self.original.fileno()

    def readable(self):
        return False

    def seekable(self):
        return False

    def writable(self):
        return True


class Worker:
    def __init__(self):
        self.link = Link()
        # The job whose prints are wanted.
        self.output_ticket = None
        self.streams = []
        # Of the job that runs.
        self.began_at = 0
        self.is_quick = False
        # Functions by the bytes that they came as: the function, its runs, and how long the slowest took lately.
        self.functions = {}
        self.place = self.place_note()
        self.mark = os.environ.get("CHERVIL_WORKER", str(os.getpid()))
        directory = os.environ.get("CHERVIL_VALUES")
        self.values = None if directory is None else Values(directory, int(os.environ.get("CHERVIL_VALUES_FROM", "8192")))

    @staticmethod
    def place_note():
        import json
        import socket

        pool = os.environ.get("PARSL_WORKER_POOL_ID", "pool")
        place = {"host": socket.gethostname(), "worker": pool + "/" + os.environ.get("PARSL_WORKER_RANK", "0")}
        block = os.environ.get("PARSL_WORKER_BLOCK_ID", "None")
        if block != "None":
            place["block"] = block
        return b"r" + json.dumps(place).encode()

    def run(self):
        self.link.add(READY, 0)
        self.link.flush()
        while True:
            what, ticket, frame = self.link.take()
            # A stop is answered by ending this process: Python cannot end a body that goes on.
            if what == JOB:
                self.job(ticket, frame)

    def job(self, ticket, frame):
        link = self.link
        if not claim(ticket):
            link.add(PASSED_OVER, ticket)
            return
        started = time.perf_counter()
        flags, context_length = struct.unpack_from("<BI", frame, 0)
        context = frame[5:5 + context_length]
        buffer = frame[5 + context_length:]
        is_chervil = bool(flags & CHERVIL)
        parts = split(buffer) if is_chervil else None
        known = self.functions.get(parts[0]) if parts else None
        name = self.values and flags & FILES and "r-%s-%d" % (self.mark, ticket)
        is_quick = known is not None and known[1] >= TRUSTED_RUNS and known[2] < QUICK_MS
        if not is_quick or link.answers >= BATCH:
            link.flush()
        self.began_at = 0
        self.is_quick = is_quick
        if flags & OUTPUT:
            self.output_ticket = ticket
        leave = enter_context(context)
        try:
            what, payload = self.outcome(ticket, flags, parts, buffer, leave[0], name)
        except SystemExit as thrown:
            self.exit(thrown)
        finally:
            leave[1]()
            if flags & OUTPUT:
                for stream in self.streams:
                    stream.send()
                self.output_ticket = None
        took_ms = (time.perf_counter() - started) * 1000
        if parts is not None:
            known = self.functions.get(parts[0])
            if known is not None:
                known[1] += 1
                known[2] = max(took_ms, known[2] * 0.8)
        link.answer(what, ticket, took_ms, self.began_at, payload)
        if took_ms > QUICK_MS or link.answers >= BATCH:
            link.flush()

    def outcome(self, ticket, flags, parts, buffer, context, name):
        is_chervil = bool(flags & CHERVIL)
        try:
            if is_chervil:
                return VALUE, self.chervil_value(ticket, flags, parts, name)
            return VALUE, parsl_value(buffer, context)
        except SystemExit:
            raise
        except BaseException:
            return FAILURE, (chervil_failure() if is_chervil else parsl_failure())

    def begin(self, ticket, flags):
        """Says that a body begins: what was loaded for it does not count for its timeout."""
        if flags & TOLD:
            self.link.add(NOTE, ticket, self.place)
        self.link.add(BEGAN, ticket)
        self.link.flush()

    def chervil_value(self, ticket, flags, parts, name):
        known = self.functions.get(parts[0])
        if known is None:
            loading = Loading(self.link, ticket, flags & TIMED)
            try:
                known = [load_value(parts[0], loading), 0, 0.0]
            except Exception as thrown:
                raise LoadError(loading.failed) from thrown
            if len(self.functions) >= KEPT_FUNCTIONS:
                self.functions.clear()
            self.functions[parts[0]] = known
        args, named = self.arguments(parts)
        if flags & TOLD:
            self.began_at = time.time() * 1000
        # When and where a quick body ran is told with its result.
        if flags & TIMED or (flags & TOLD and not self.is_quick):
            self.begin(ticket, flags)
        result = known[0](*args, **named)
        if isinstance(result, types.CoroutineType):
            import asyncio

            result = asyncio.run(result)
        del args, named
        try:
            if name and not isinstance(result, (type(None), bool, int, float)):
                return self.values.write(name, result)
            return b"02\n" + pickle.dumps(result, 4)
        except Exception as thrown:
            raise ResultError(thrown) from thrown

    def arguments(self, parts):
        if len(parts) == 3:
            return load_plain(parts[1]), load_plain(parts[2])
        # They are in a file.
        if self.values is None:
            raise ValueError("the arguments are in a file, and this worker sees none")
        with self.values.read(parts[1]) as data:
            inner = split(data)
            return load_plain(inner[0]), load_plain(inner[1])

    def exit(self, thrown):
        """The body called sys.exit(): the pool tells that as a lost worker, as Parsl does."""
        code = thrown.code
        if code is None:
            code = 0
        elif not isinstance(code, int):
            print(code, file=sys.__stderr__)
            code = 1
        sys.__stdout__.flush()
        sys.__stderr__.flush()
        for stream in self.streams:
            stream.send()
        self.link.add(EXITING, code & 0xFF)
        self.link.flush()
        os._exit(code & 0xFF)


class LoadError(Exception):
    """The function of a task, or one of its wrappers, cannot be had. Its argument is what cannot: a module and a name in it, or None."""


class Loading:
    """What is loaded for a job: the pool is told of a module before, as it may take for ever, if the job has a timeout."""

    def __init__(self, link, ticket, is_timed):
        self.link = link
        self.ticket = ticket
        self.is_timed = is_timed
        self.failed = None

    def find(self, find_class, module, name):
        is_told = self.is_timed and module not in sys.modules
        if is_told:
            self.tell(b"python:" + module.encode())
        try:
            found = find_class(module, name)
        except BaseException:
            self.failed = (module, name)
            raise
        if is_told:
            self.tell(b"")
        return found

    def tell(self, module):
        self.link.add(LOADING, self.ticket, module)
        self.link.flush()


class ResultError(Exception):
    """The result of a body cannot be pickled."""


def split(buffer):
    """The parts of a payload: function, arguments, keyword arguments, each with its serializer's name before it. Large arguments are in
    a file, and what stands for them is one part; the file has the two others."""
    parts = []
    at = 0
    while at < len(buffer):
        if buffer[at] == REFERENCE:
            parts.append(buffer[at:])
            break
        end = at
        while buffer[end] != 10:
            end += 1
        size = int(bytes(buffer[at:end]))
        parts.append(buffer[end + 1:end + 1 + size])
        at = end + 1 + size
    if len(parts) not in (2, 3):
        raise ValueError("a task has three parts, and this one %d" % len(parts))
    return parts


class Values:
    """Large values in files of this machine's memory. src/wire/value-files.ts has the form of what stands in their place."""

    def __init__(self, directory, least):
        self.directory = directory
        self.least = least
        self.memory = bytearray(0)

    def read(self, reference):
        """What is in the file, for as long as nothing else is read."""
        length, size = struct.unpack_from("<Bd", reference, 1)
        # Of the name only what is one: it must not lead out of the directory.
        name = os.path.basename(bytes(reference[10:10 + length]).decode())
        size = int(size)
        memory = self.memory
        if size > len(memory):
            memory = bytearray(size)
            if size <= KEPT_BYTES:
                self.memory = memory
        data = memoryview(memory)[:size]
        with open(os.path.join(self.directory, name), "rb", buffering=0) as file:
            at = 0
            while at < size:
                count = file.readinto(data[at:])
                if not count:
                    raise EOFError("a large value is cut short")
                at += count
        return data

    def write(self, name, value):
        """A value as bytes, or, if it is large, what stands for the file that it is in."""
        out = LargeOutput(os.path.join(self.directory, name), self.least)
        try:
            out.write(b"02\n")
            pickle.Pickler(out, 5).dump(value)
        except OSError:
            # The memory of the machine is full, or the directory gone: the value travels by itself. What it raised itself it raises again.
            out.remove()
            return b"02\n" + pickle.dumps(value, 4)
        except BaseException:
            out.remove()
            raise
        if out.file is None:
            return b"".join(out.parts)
        out.file.close()
        name = name.encode()
        return struct.pack("<BBd", REFERENCE, len(name), out.size) + name


class LargeOutput:
    """Where a pickle is written to: into memory, and into a file as soon as it is large."""

    def __init__(self, path, least):
        self.path = path
        self.least = least
        self.size = 0
        self.parts = []
        self.file = None

    def write(self, data):
        data = memoryview(data)
        self.size += data.nbytes
        if self.file is not None:
            self.put(data)
        elif self.size < self.least:
            # The pickler takes its memory back.
            self.parts.append(bytes(data))
        else:
            self.file = open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0)
            for part in self.parts:
                self.put(part)
            self.put(data)
        return data.nbytes

    def put(self, data):
        data = memoryview(data).cast("B")
        while data.nbytes > 0:
            data = data[self.file.write(data):]

    def remove(self):
        if self.file is None:
            return
        self.file.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass  # Removed with the directory.


class Unpickler(pickle.Unpickler):
    """Reads what dill writes of functions of a program: it calls the program's namespace by a name of its own."""

    loading = None

    def find_class(self, module, name):
        if (module, name) == ("__builtin__", "__main__"):
            return sys.modules["__main__"].__dict__
        find_class = super().find_class
        return find_class(module, name) if self.loading is None else self.loading.find(find_class, module, name)


def load_plain(part):
    """Arguments of TypeScript: data, without any name that needs more than pickle itself."""
    return pickle.loads(memoryview(part)[3:])


def load_value(part, loading=None):
    import io

    kind, body = part.split(b"\n", 1)
    if kind not in (b"01", b"02", b"C2"):
        module, name = kind.decode().split(" ", 1)
        return getattr(__import__("importlib").import_module(module), name)().deserialize(body)
    unpickler = Unpickler(io.BytesIO(body))
    unpickler.loading = loading
    return unpickler.load()


def enter_context(data):
    """Sets PARSL_<KEY> of the task's resource specification. Gives the context, and what takes them away again."""
    if data == b"":
        return {}, lambda: None
    context = pickle.loads(data)
    before = {}
    for key, value in (context.get("resource_spec") or {}).items():
        name = "PARSL_" + str(key).upper()
        before[name] = os.environ.get(name)
        os.environ[name] = str(value)

    def leave():
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    return context, leave


# Tasks of TypeScript: values as pickle, failures as plain data.


def chervil_failure():
    import traceback

    kind, value, trace = sys.exc_info()
    if isinstance(value, ResultError):
        told = {"unsendable": str(value)}
    elif isinstance(value, LoadError):
        (failed,) = value.args
        value = value.__cause__
        told = describe(value, traceback, own_frames(value.__traceback__), 20)
        told["loading"] = {"python": sys.executable, "host": os.uname().nodename, "path": [one or os.getcwd() for one in sys.path]}
        if failed is not None:
            told["loading"].update(module=failed[0], name=failed[1])
    else:
        told = describe(value, traceback, own_frames(trace), 20)
    return b"02\n" + pickle.dumps({"chervil_failure": told}, 4)


def own_frames(trace):
    """A traceback without the frames of this file at its beginning."""
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def describe(value, traceback, trace, chain_left):
    kind = type(value)
    try:
        message = str(value)
    except Exception:
        message = "(its text cannot be made)"
    try:
        text = "".join(traceback.format_exception(kind, value, trace)).rstrip("\n")
    except Exception:
        text = kind.__name__ + ": " + message
    told = {"type": class_name(kind), "message": message[:50000], "text": text[:200000]}
    told["args"] = [plain(one) for one in value.args]
    told["attributes"] = {str(key): plain(one) for key, one in getattr(value, "__dict__", {}).items()}
    cause = value.__cause__
    if cause is not None and chain_left > 0:
        told["cause"] = describe(cause, traceback, cause.__traceback__, chain_left - 1)
    return told


def class_name(kind):
    module = kind.__module__
    if module == "builtins" or module.startswith("pythonApp_"):
        return kind.__qualname__
    return module + "." + kind.__qualname__


def plain(value, depth=4):
    """Data that can be sent; what is none becomes its repr."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if depth > 0 and type(value) in (list, tuple):
        return [plain(one, depth - 1) for one in value]
    if depth > 0 and type(value) is dict:
        return {str(key): plain(one, depth - 1) for key, one in value.items()}
    try:
        return repr(value)[:1000]
    except Exception:
        return "(its repr cannot be made)"


# Tasks of Parsl's own submitter: read and answered by Parsl where it is, and by pickle as far as that goes where it is not.

has_parsl = None


def parsl():
    """Whether Parsl can be imported. Imported only for a task that needs it: that takes a second."""
    global has_parsl
    if has_parsl is None:
        try:
            import parsl.serialize  # noqa: F401

            has_parsl = True
        except ImportError:
            has_parsl = False
        if has_parsl:
            offer_monitoring()
    return has_parsl


def offer_monitoring():
    """Parsl's monitoring puts its messages into a queue of the worker's: here they go out as items."""

    class Queue:
        def put(self, message):
            worker.link.add(ITEM, 0, message)
            worker.link.flush()

    try:
        import parsl.executors.high_throughput.monitoring_info as place

        place.result_queue = Queue()
    except ImportError:
        pass  # Of before there was such a queue.


def parsl_value(buffer, context):
    executor = context.get("task_executor")
    if executor:
        import importlib

        module, _, name = executor["f"].rpartition(".")
        run = getattr(importlib.import_module(module), name)
        result = run(buffer, *executor.get("a", ()), **executor.get("k", {}))
    else:
        if parsl():
            from parsl.serialize import unpack_apply_message

            run, args, named = unpack_apply_message(buffer)
        else:
            run, args, named = [load_value(part) for part in split(buffer)]
        if isinstance(named, tuple):
            named = named[0]  # Before 2025.09.22 the resources stand beside it.
        result = run(*args, **named)
    return dump(result)


def dump(value):
    if parsl():
        from parsl.serialize import serialize

        return serialize(value, buffer_threshold=1 << 30)
    try:
        from dill import dumps
    except ImportError:
        from pickle import dumps
    return b"02\n" + dumps(value)


def parsl_failure():
    kind, value, trace = sys.exc_info()
    if parsl():
        from parsl.app.errors import RemoteExceptionWrapper

        try:
            return dump(RemoteExceptionWrapper(kind, value, own_frames(trace)))
        except Exception:
            text = "%s: %s (the exception itself cannot be pickled)" % (class_name(kind), value)
            return dump(RemoteExceptionWrapper(RuntimeError, RuntimeError(text), trace))
    return wrapper_by_hand(kind, value)


def wrapper_by_hand(kind, value):
    """Parsl's wrapper of an exception, without Parsl: as the opcodes of its pickle."""
    args = value.args
    is_simple = kind.__module__ == "builtins" and all(isinstance(one, (str, int, float, type(None))) for one in args)
    if not is_simple:
        kind, args = RuntimeError, ("%s: %s" % (class_name(kind), value),)
    name = b"cbuiltins\n" + kind.__name__.encode() + b"\n"
    # Pickles of plain values have no references in them when they are written on their own, one for each.
    parts = b"".join(strip(pickle.dumps(one, 2)) for one in args)
    made = name + b"(" + parts + b"tR"
    state = word(b"e_type") + name + word(b"e_value") + made + word(b"e_traceback") + b"N" + word(b"cause") + b"N"
    return b"02\n\x80\x04cparsl.app.errors\nRemoteExceptionWrapper\n)\x81}(" + state + b"ub."


def word(ascii_bytes):
    return b"X" + struct.pack("<I", len(ascii_bytes)) + ascii_bytes


def strip(data):
    """A pickle of protocol 2 without its beginning and end."""
    return data[2:-1]


def main():
    global worker
    watch_pool()
    for fd in (LINK, CLAIMS):
        os.set_inheritable(fd, False)
    os.set_blocking(LINK, True)
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    # Functions of a program's own namespace are made in `__main__`: that must not be this one.
    sys.modules["chervil_worker"] = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    import faulthandler

    faulthandler.enable(sys.__stderr__)
    worker = Worker()
    sys.stdout = Output(worker, b"o", sys.__stdout__)
    sys.stderr = Output(worker, b"e", sys.__stderr__)
    worker.streams = [sys.stdout, sys.stderr]
    worker.run()


worker = None

if __name__ == "__main__":
    main()
