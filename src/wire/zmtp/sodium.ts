// The few functions of libsodium that CURVE needs, behind one small port. Loaded only by sockets that use CURVE.
import { createRequire } from 'node:module';

export const keyBytes = 32;
export const nonceBytes = 24;
/** A box is this much longer than what is in it. */
export const boxOverheadBytes = 16;

/** A Curve25519 key pair, 32 bytes each. */
export interface KeyPair {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

/** The cryptography CURVE needs: X25519 for keys, XSalsa20-Poly1305 for boxes. */
export interface Sodium {
  readonly name: string;
  keyPair(): KeyPair;
  publicKeyOf(secretKey: Uint8Array): Uint8Array;
  /** The key two sides share, or `undefined` for a public key that is none (of low order). */
  sharedKey(publicKey: Uint8Array, secretKey: Uint8Array): Uint8Array | undefined;
  /** Writes the box of `first` (one byte; none when -1) and `message` into `target` at `at`. */
  seal(first: number, message: Uint8Array, nonce: Uint8Array, key: Uint8Array, target: Uint8Array, at: number): void;
  /** What is in the box, or `undefined` when key, nonce or bytes are wrong. */
  open(box: Uint8Array, nonce: Uint8Array, key: Uint8Array): Buffer | undefined;
}

let loading: Promise<Sodium> | undefined;

/** Loads libsodium once per process: sodium-native where it is installed, else libsodium-wrappers (WebAssembly). */
export function loadSodium(): Promise<Sodium> {
  loading ??= loadNative() ?? loadWrappers();
  return loading;
}

/** The parts of the WebAssembly module behind libsodium-wrappers that spare it two allocations and three copies per box. */
interface RawSodium {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(address: number): void;
  _crypto_secretbox_easy(
    box: number,
    message: number,
    length: number,
    lengthHigh: number,
    nonce: number,
    key: number,
  ): number;
  _crypto_secretbox_open_easy(
    message: number,
    box: number,
    length: number,
    lengthHigh: number,
    nonce: number,
    key: number,
  ): number;
}

/** Larger messages get room of their own, which is given back at once. */
const roomBytes = 1 << 16;

/** libsodium-wrappers; `useRaw: false` uses only its documented functions (tests compare both ways). */
export async function loadWrappers(useRaw = true): Promise<Sodium> {
  const { default: sodium } = await import('libsodium-wrappers');
  await sodium.ready;
  // The module object is exported but not declared; where a future version hides it, the documented functions serve.
  const raw = (sodium as unknown as { readonly libsodium?: Partial<RawSodium> }).libsodium;
  const keys: Pick<Sodium, 'keyPair' | 'publicKeyOf' | 'sharedKey'> = {
    keyPair() {
      const { publicKey, privateKey } = sodium.crypto_box_keypair();
      return { publicKey, secretKey: privateKey };
    },
    publicKeyOf: (secretKey) => sodium.crypto_scalarmult_base(secretKey),
    sharedKey(publicKey, secretKey) {
      try {
        return sodium.crypto_box_beforenm(publicKey, secretKey);
      } catch {
        // libsodium refuses public keys of low order; the caller refuses the peer.
        return undefined;
      }
    },
  };
  if (useRaw && isRaw(raw)) return { name: 'libsodium (WebAssembly)', ...keys, ...rawBoxes(raw) };
  return {
    name: 'libsodium-wrappers',
    ...keys,
    seal(first, message, nonce, key, target, at) {
      target.set(sodium.crypto_secretbox_easy(withFirst(first, message), nonce, key), at);
    },
    open(box, nonce, key) {
      if (box.length < boxOverheadBytes) return undefined;
      try {
        const message = sodium.crypto_secretbox_open_easy(box, nonce, key);
        return Buffer.from(message.buffer, message.byteOffset, message.length);
      } catch {
        // The wrapper throws for a box that does not open; here that is an answer.
        return undefined;
      }
    },
  };
}

function rawBoxes(raw: RawSodium): Pick<Sodium, 'seal' | 'open'> {
  const nonceAt = raw._malloc(nonceBytes);
  const keyAt = raw._malloc(keyBytes);
  const room = raw._malloc(roomBytes + boxOverheadBytes);
  /** Runs `action` with an address for `bytes` bytes. HEAPU8 is read again each time: it changes when the heap grows. */
  const withRoom = <Value>(bytes: number, action: (address: number) => Value): Value => {
    if (bytes <= roomBytes) return action(room);
    const address = raw._malloc(bytes + boxOverheadBytes);
    if (address === 0) throw new RangeError(`libsodium has no room for a box of ${bytes} bytes.`);
    try {
      return action(address);
    } finally {
      raw._free(address);
    }
  };
  const sealAt = (
    address: number,
    first: number,
    message: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array,
    target: Uint8Array,
    at: number,
  ): void => {
    const heap = raw.HEAPU8;
    heap.set(nonce, nonceAt);
    heap.set(key, keyAt);
    const lead = first === -1 ? 0 : 1;
    if (lead === 1) heap[address] = first;
    heap.set(message, address + lead);
    const length = message.length + lead;
    raw._crypto_secretbox_easy(address, address, length, 0, nonceAt, keyAt);
    target.set(raw.HEAPU8.subarray(address, address + length + boxOverheadBytes), at);
  };
  const openAt = (address: number, box: Uint8Array, nonce: Uint8Array, key: Uint8Array): Buffer | undefined => {
    const heap = raw.HEAPU8;
    heap.set(nonce, nonceAt);
    heap.set(key, keyAt);
    heap.set(box, address);
    if (raw._crypto_secretbox_open_easy(address, address, box.length, 0, nonceAt, keyAt) !== 0) return undefined;
    const message = Buffer.allocUnsafe(box.length - boxOverheadBytes);
    message.set(raw.HEAPU8.subarray(address, address + message.length));
    return message;
  };
  return {
    seal(first, message, nonce, key, target, at) {
      if (message.length < roomBytes) sealAt(room, first, message, nonce, key, target, at);
      else withRoom(message.length + 1, (address) => sealAt(address, first, message, nonce, key, target, at));
    },
    open(box, nonce, key) {
      if (box.length < boxOverheadBytes) return undefined;
      if (box.length <= roomBytes) return openAt(room, box, nonce, key);
      return withRoom(box.length, (address) => openAt(address, box, nonce, key));
    },
  };
}

function isRaw(raw: Partial<RawSodium> | undefined): raw is RawSodium {
  return (
    raw?.HEAPU8 instanceof Uint8Array &&
    typeof raw._malloc === 'function' &&
    typeof raw._free === 'function' &&
    typeof raw._crypto_secretbox_easy === 'function' &&
    typeof raw._crypto_secretbox_open_easy === 'function'
  );
}

/** The functions of the optional package sodium-native that are used here. */
interface NativeSodium {
  crypto_box_keypair(publicKey: Uint8Array, secretKey: Uint8Array): void;
  crypto_scalarmult_base(publicKey: Uint8Array, secretKey: Uint8Array): void;
  crypto_box_beforenm?(shared: Uint8Array, publicKey: Uint8Array, secretKey: Uint8Array): void;
  crypto_secretbox_easy(box: Uint8Array, message: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  crypto_secretbox_open_easy(message: Uint8Array, box: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
}

function loadNative(): Promise<Sodium> | undefined {
  let native: NativeSodium;
  try {
    native = createRequire(import.meta.url)('sodium-native') as NativeSodium;
  } catch {
    // It is optional: not installed, or built for another Node. WebAssembly then does the same, slower for large messages.
    return undefined;
  }
  return loadWrappers().then((wrappers) => nativeBoxes(native, wrappers));
}

/** Keys stay with libsodium-wrappers, as they are rare; boxes go to native code. */
function nativeBoxes(native: NativeSodium, wrappers: Sodium): Sodium {
  return {
    ...wrappers,
    name: 'sodium-native',
    seal(first, message, nonce, key, target, at) {
      const plain = withFirst(first, message);
      native.crypto_secretbox_easy(target.subarray(at, at + plain.length + boxOverheadBytes), plain, nonce, key);
    },
    open(box, nonce, key) {
      if (box.length < boxOverheadBytes) return undefined;
      const message = Buffer.allocUnsafe(box.length - boxOverheadBytes);
      return native.crypto_secretbox_open_easy(message, box, nonce, key) ? message : undefined;
    },
  };
}

function withFirst(first: number, message: Uint8Array): Uint8Array {
  if (first === -1) return message;
  const plain = Buffer.allocUnsafe(message.length + 1);
  plain[0] = first;
  plain.set(message, 1);
  return plain;
}
