import { WavepoolError } from '../shared/errors.ts';

/** The error of an invalid option: its name, the rule, and the given value. */
export function invalid(name: string, rule: string, given: unknown): WavepoolError {
  return new WavepoolError('bad-option', `Invalid ${name}: must be ${rule} (got ${shown(given)}).`);
}

/** Returns the number, if it is a whole one from `least` to `most`. Throws `bad-option` otherwise. */
export function wholeNumber(name: string, given: unknown, least: number, most: number): number {
  if (typeof given === 'number' && Number.isInteger(given) && given >= least && given <= most) return given;
  throw invalid(name, `a whole number from ${least} to ${most}`, given);
}

/** Returns the value, if it is true or false; `otherwise` if it was left out. Throws `bad-option` for anything else. */
export function trueOrFalse(name: string, given: unknown, otherwise: boolean): boolean {
  if (given === undefined) return otherwise;
  if (typeof given === 'boolean') return given;
  throw invalid(name, 'true or false', given);
}

/** Returns the value, if it is one of the choices. Throws `bad-option` otherwise. */
export function oneOf<T extends string>(name: string, given: T, choices: readonly T[]): T {
  if (choices.includes(given)) return given;
  throw invalid(name, `one of ${choices.map(shown).join(', ')}`, given);
}

/** Returns the object, if it is one. Throws `bad-option` otherwise. */
export function optionsObject<T extends object>(name: string, rule: string, given: T): T {
  if (typeof given === 'object' && (given as unknown) !== null) return given;
  throw invalid(name, rule, given);
}

/** Formats a value for an error message: short, and without calling a getter or `toString` of the caller's. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? 'an array' : 'an object';
    case 'function':
      return 'a function';
    case 'bigint':
      return `${value}n`;
    case 'number':
    case 'boolean':
    case 'undefined':
    case 'symbol':
      return String(value);
  }
}
