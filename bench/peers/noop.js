// The no-op of piscina and tinypool.
export default function noop(n) {
  return n;
}
