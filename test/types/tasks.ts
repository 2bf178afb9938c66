// A module as users write it, for the types of apps(): functions, and what is none.
export function count(url: string): Promise<Record<string, number>> {
  return Promise.resolve({ [url]: 1 });
}
export const merge = (parts: Record<string, number>[]): Record<string, number> => Object.assign({}, ...parts);
export const limit = 10;
export const words = ['a', 'b'];
export class Tally {
  total = 0;
}
export interface Shape {
  sides: number;
}
export default function main(): number {
  return limit;
}
