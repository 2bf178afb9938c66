// Wrappers for a test.
export async function doubled(next: () => Promise<number>): Promise<number> {
  return (await next()) * 2;
}
export async function plusOne(next: () => Promise<number>): Promise<number> {
  return (await next()) + 1;
}
