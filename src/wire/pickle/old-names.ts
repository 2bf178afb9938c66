// Protocols 0 to 2 name things as Python 2 did; Python 3 translates when it reads them, and so must we, since we write protocol 4.
// Used by the reader. The tables are the renames of PEP 3108, as far as a pickle can meet them.
import { PyGlobal } from './values.ts';

const modules = new Map<string, string>([
  ['__builtin__', 'builtins'],
  ['copy_reg', 'copyreg'],
  ['exceptions', 'builtins'],
  ['cPickle', 'pickle'],
  ['Queue', 'queue'],
  ['SocketServer', 'socketserver'],
  ['ConfigParser', 'configparser'],
  ['repr', 'reprlib'],
  ['thread', '_thread'],
  ['dummy_thread', '_dummy_thread'],
  ['commands', 'subprocess'],
  ['_abcoll', 'collections.abc'],
  ['UserDict', 'collections'],
  ['UserList', 'collections'],
  ['UserString', 'collections'],
  ['StringIO', 'io'],
  ['cStringIO', 'io'],
  ['_elementtree', 'xml.etree.ElementTree'],
  ['xmlrpclib', 'xmlrpc.client'],
  ['SimpleXMLRPCServer', 'xmlrpc.server'],
  ['DocXMLRPCServer', 'xmlrpc.server'],
  ['httplib', 'http.client'],
  ['htmlentitydefs', 'html.entities'],
  ['HTMLParser', 'html.parser'],
  ['Cookie', 'http.cookies'],
  ['cookielib', 'http.cookiejar'],
  ['BaseHTTPServer', 'http.server'],
  ['SimpleHTTPServer', 'http.server'],
  ['CGIHTTPServer', 'http.server'],
  ['urlparse', 'urllib.parse'],
  ['robotparser', 'urllib.robotparser'],
  ['urllib2', 'urllib.request'],
  ['anydbm', 'dbm'],
  ['whichdb', 'dbm'],
  ['dbhash', 'dbm.bsd'],
  ['dumbdbm', 'dbm.dumb'],
  ['dbm', 'dbm.ndbm'],
  ['gdbm', 'dbm.gnu'],
  ['markupbase', '_markupbase'],
  ['_winreg', 'winreg'],
  ['test.test_support', 'test.support'],
]);

// Where the name changed too, or moved alone.
const names = new Map<string, readonly [module: string, name: string]>([
  ['__builtin__ xrange', ['builtins', 'range']],
  ['__builtin__ reduce', ['functools', 'reduce']],
  ['__builtin__ intern', ['sys', 'intern']],
  ['__builtin__ unichr', ['builtins', 'chr']],
  ['__builtin__ unicode', ['builtins', 'str']],
  ['__builtin__ basestring', ['builtins', 'str']],
  ['__builtin__ long', ['builtins', 'int']],
  ['exceptions StandardError', ['builtins', 'Exception']],
  ['itertools izip', ['builtins', 'zip']],
  ['itertools imap', ['builtins', 'map']],
  ['itertools ifilter', ['builtins', 'filter']],
  ['itertools ifilterfalse', ['itertools', 'filterfalse']],
  ['itertools izip_longest', ['itertools', 'zip_longest']],
  ['UserDict IterableUserDict', ['collections', 'UserDict']],
  ['_socket fromfd', ['socket', 'fromfd']],
  ['socket _socketobject', ['socket', 'SocketType']],
  ['_multiprocessing Connection', ['multiprocessing.connection', 'Connection']],
  ['multiprocessing.process Process', ['multiprocessing.context', 'Process']],
  ['multiprocessing.forking Popen', ['multiprocessing.popen_fork', 'Popen']],
  ['multiprocessing AuthenticationError', ['multiprocessing.context', 'AuthenticationError']],
  ['multiprocessing BufferTooShort', ['multiprocessing.context', 'BufferTooShort']],
  ['multiprocessing ProcessError', ['multiprocessing.context', 'ProcessError']],
  ['multiprocessing TimeoutError', ['multiprocessing.context', 'TimeoutError']],
  ['urllib ContentTooShortError', ['urllib.error', 'ContentTooShortError']],
  ['urllib2 HTTPError', ['urllib.error', 'HTTPError']],
  ['urllib2 URLError', ['urllib.error', 'URLError']],
]);
for (const name of ['getproxies', 'pathname2url', 'url2pathname', 'urlcleanup', 'urlopen', 'urlretrieve'])
  names.set(`urllib ${name}`, ['urllib.request', name]);
for (const name of ['quote_plus', 'quote', 'unquote_plus', 'unquote', 'urlencode'])
  names.set(`urllib ${name}`, ['urllib.parse', name]);

/** The global that Python 3 finds for a name of a pickle of protocol 0, 1 or 2. */
export function modernGlobal(module: string, name: string): PyGlobal {
  const moved = names.get(`${module} ${name}`);
  return moved ? new PyGlobal(moved[0], moved[1]) : new PyGlobal(modules.get(module) ?? module, name);
}
