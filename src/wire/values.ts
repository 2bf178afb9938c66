// Values that cross, the same for every executor: what they are stands in docs/values.md, how they cross in values/.
// Executors check arguments and results, encode what needs it, and decode what arrives.
//
//   call     checkValue ......... 'plain' or 'clone': send as it is; 'encode': encodeValue first
//   threads  postMessage(data) .. decodeValue
//   pipes    toBytes ............ fromBytes (both do all of it)

export { cloneFailure, fromBytes, toBytes } from './values/bytes.ts';
export { type Crossing, checkValue } from './values/check.ts';
export { decodeValue } from './values/decode.ts';
export { encodeValue } from './values/encode.ts';
export { type Serializer, serializer } from './values/serializer.ts';
