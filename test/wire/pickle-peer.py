# CPython's side of the pickle tests. Reads requests "<u32 length><kind byte><body>" from standard input, answers "<u32 length><status byte><body>".
# Kinds:  E <protocol byte><pickle>         -> the value pickled again with that protocol
#         S <u32 length of a><pickle a><b>  -> status 0 if both load as equal values of equal types
#         M <protocol byte><seed text>      -> a pickle of a random value
# Classes that are not installed become stand-ins that record what is done to them.
import collections, datetime, decimal, fractions, importlib, io, pickle, random, struct, sys, uuid
from pickle import PickleBuffer  # noqa: F401  (fails early on interpreters before 3.8)

sys.setrecursionlimit(20000)
stand_ins = {}


def stand_in(module, name):
    def new(cls, *args, **kwargs):
        made = object.__new__(cls)
        made.__dict__['log'] = [('made', args, kwargs)]
        return made

    def note(kind):
        return lambda self, *args: self.__dict__.setdefault('log', []).append((kind, args))

    key = (module, name)
    if key not in stand_ins:
        stand_ins[key] = type(name, (), {
            '__module__': module, '__new__': new, '__init__': lambda self, *a, **k: None, '__setstate__': note('state'),
            'append': note('append'), 'add': note('add'), '__setitem__': note('set'), '__call__': lambda self, *a: stand_in('called', name)(self, *a),
        })
    return stand_ins[key]


class Loader(pickle.Unpickler):
    def find_class(self, module, name):
        if module.split('.')[0] in ('os', 'posix', 'nt', 'subprocess', 'sys', 'shutil') or name in ('eval', 'exec', '__import__', 'open'):
            return stand_in(module, name)
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return stand_in(module, name)


def load(data):
    return Loader(io.BytesIO(data)).load()


def shape(value, seen):
    """A comparable description: types, values, order of dicts, sharing and cycles."""
    kind = type(value)
    if value is None or kind in (bool, int, str, bytes):
        return (kind.__name__, value)
    if kind is float:
        return ('float', 'nan' if value != value else struct.pack('>d', value))
    if isinstance(value, type) or callable(value) and kind not in stand_ins.values():
        return ('global', value.__module__, value.__qualname__)
    if id(value) in seen:
        return ('again', seen[id(value)][0])
    if not (kind is tuple and not value):
        seen[id(value)] = (len(seen), value)
    if isinstance(value, (list, tuple, collections.deque)):
        return (kind.__name__, [shape(item, seen) for item in value])
    if isinstance(value, dict):
        return (kind.__name__, [(shape(key, seen), shape(item, seen)) for key, item in value.items()])
    if kind in (set, frozenset):
        return (kind.__name__, sorted(repr(shape(item, {})) for item in value))
    if kind is bytearray:
        return ('bytearray', bytes(value))
    if kind in stand_ins.values():
        return (kind.__module__, kind.__name__, [(step[0], [shape(item, seen) for item in step[1]]) for step in value.__dict__.get('log', [])])
    if isinstance(value, BaseException):
        return (kind.__name__, shape(value.args, seen), shape(value.__dict__, seen))
    if hasattr(value, '__dict__') and type(value).__eq__ is object.__eq__:
        return (kind.__name__, shape(value.__dict__, seen))
    return (kind.__name__, repr(value))


Point = collections.namedtuple('Point', 'x y')
Point.__module__ = '__main__'


class Thing:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Setter:
    """Its state is set by a function: a call whose result the pickle throws away."""
    def __init__(self, fields=None):
        self.__dict__.update(fields or {})

    def __reduce__(self):
        return (Setter, (), dict(self.__dict__), None, None, set_state)


def set_state(target, state):
    target.__dict__.update(state)


class Listed(list):
    pass


class Keyed(dict):
    pass


class Slotted:
    __slots__ = ('a', 'b')

    def __init__(self, a, b):
        self.a, self.b = a, b

    def __reduce_ex__(self, protocol):
        return super().__reduce_ex__(protocol) if protocol > 1 else (Slotted, (self.a, self.b))

    def __eq__(self, other):
        return (self.a, self.b) == (other.a, other.b)

    def __repr__(self):
        return 'Slotted(%r, %r)' % (self.a, self.b)


class Named:
    """Made with keyword arguments."""
    def __new__(cls, *, label):
        made = object.__new__(cls)
        made.label = label
        return made

    def __getnewargs_ex__(self):
        return ((), {'label': self.label})


def text(r):
    alphabet = r.choice(['abc xyz_', 'äöüß', '\u20ac\u4e2d', '\U0001f600\U00010000', '\\\n\r\0\'"\x1a', '\ufffd', '\ud800x'])
    return ''.join(r.choice(alphabet) for _ in range(r.choice([0, 1, 5, 30, 300])))


def leaf(r):
    return r.choice([
        lambda: None, lambda: r.random() < 0.5, lambda: r.randrange(-3, 300), lambda: r.choice([1, -1]) * r.getrandbits(r.choice([8, 16, 31, 32, 33, 53, 54, 63, 64, 65, 200, 3000])),
        lambda: r.choice([0.0, -0.0, 1.0, 1e300, 5e-324, float('inf'), float('-inf'), float('nan'), r.random(), r.random() * 1e9]),
        lambda: text(r), lambda: r.randbytes(r.choice([0, 1, 20, 255, 256, 70000 if r.random() < 0.05 else 3])), lambda: bytearray(r.randbytes(r.choice([0, 3]))),
        lambda: r.choice([int, ValueError, len, collections.OrderedDict, zip, range]),
    ])()


def special(r, deeper):
    return r.choice([
        lambda: uuid.UUID(int=r.getrandbits(128)), lambda: datetime.datetime(2026, 1, 2, 3, 4, 5, r.randrange(10**6)), lambda: complex(r.random(), 2.0),
        lambda: decimal.Decimal('1.50'), lambda: fractions.Fraction(1, 3), lambda: collections.OrderedDict([('b', deeper()), ('a', 1)]),
        lambda: collections.deque([deeper(), 2], 5), lambda: collections.defaultdict(list, {'k': [deeper()]}), lambda: Point(deeper(), 2),
        lambda: Thing(a=deeper(), b=[1]), lambda: Setter({'a': deeper()}), lambda: Listed([deeper(), 1]), lambda: Keyed(a=deeper()), lambda: Slotted(1, 'b'),
        lambda: Named(label=r.randrange(9)), lambda: range(r.randrange(9)), lambda: ValueError('x', deeper()), lambda: datetime.timedelta(1, 2),
    ])()


def value(r, depth=0):
    deeper = lambda: value(r, depth + 1)  # noqa: E731
    if depth > 4 or r.random() < 0.35:
        return leaf(r)
    kind = r.randrange(9)
    if kind == 0:
        return special(r, deeper)
    if kind == 1:
        shared = deeper()
        return [shared, (shared, {'s': shared})]
    if kind == 2:
        around = [deeper()]
        around.append(r.choice([lambda: around, lambda: (around, 1), lambda: {'a': around}, lambda: Thing(back=around)])())
        return around
    if kind == 3:
        return {r.choice([text(r), r.randrange(1000), r.random(), (1, 'a'), None, True, b'k', 2.0, frozenset([1])]): deeper() for _ in range(r.choice([0, 1, 3, 12]))}
    if kind == 4:
        return tuple(deeper() for _ in range(r.randrange(6)))
    if kind == 5:
        return r.choice([set, frozenset])([r.randrange(100), text(r), (1, r.random())][:r.randrange(4)])
    if kind == 6 and depth == 0 and r.random() < 0.2:
        return [list(range(2500)), {str(i): i for i in range(1200)}]
    return [deeper() for _ in range(r.randrange(6))]


def answer(kind, body):
    if kind == b'E':
        return 0, pickle.dumps(load(body[1:]), body[0])
    if kind == b'M':
        return 0, pickle.dumps(value(random.Random(body[1:].decode())), body[0])
    length = struct.unpack('<I', body[:4])[0]
    first, second = (shape(load(part), {}) for part in (body[4:4 + length], body[4 + length:]))
    return (0, b'') if first == second else (1, ('%.2000r\nis not\n%.2000r' % (first, second)).encode('utf-8', 'backslashreplace'))


def main():
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = source.read(5)
        if len(head) < 5:
            return
        body = source.read(struct.unpack('<I', head[:4])[0])
        try:
            status, reply = answer(head[4:], body)
        except Exception as error:  # told to the test
            status, reply = 2, ('%s: %s' % (type(error).__name__, error)).encode('utf-8', 'backslashreplace')
        sink.write(struct.pack('<IB', len(reply), status) + reply)
        sink.flush()


main()
