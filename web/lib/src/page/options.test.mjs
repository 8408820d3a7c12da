import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WavepoolError } from '../shared/errors.ts';
import { invalid, oneOf, optionsObject, shown, trueOrFalse, wholeNumber } from './options.ts';

const refused = (call) => {
  try {
    call();
  } catch (thrown) {
    assert.ok(thrown instanceof WavepoolError, String(thrown));
    assert.equal(thrown.code, 'bad-option');
    return thrown.message;
  }
  return assert.fail('accepted');
};

test('whole number is accepted within its limits, both included', () => {
  for (const number of [1, 2, 64]) assert.equal(wholeNumber('hop', number, 1, 64), number);
});

test('whole number: anything else is refused with the name, the limits and the value', () => {
  for (const given of [0, 65, -1, 0.5, NaN, Infinity, -Infinity, 2 ** 53, '8', null, undefined, true, 8n, [8], {}, () => 8, Symbol('8')]) {
    const message = refused(() => wholeNumber('hop', given, 1, 64));
    assert.equal(message, `Invalid hop: must be a whole number from 1 to 64 (got ${shown(given)}).`);
  }
});

test('true or false: left out is the default, anything else is refused', () => {
  assert.deepEqual([trueOrFalse('flush', undefined, true), trueOrFalse('flush', false, true), trueOrFalse('flush', true, false)], [true, false, true]);
  for (const given of [null, 0, 1, 'true', {}]) assert.match(refused(() => trueOrFalse('flush', given, false)), /^Invalid flush: must be true or false \(got /);
});

test('one of several: anything else is refused with the choices', () => {
  assert.equal(oneOf('level', 'low', ['low', 'high']), 'low');
  for (const given of ['LOW', '', null, undefined, 1, {}, ['low']]) {
    assert.equal(refused(() => oneOf('level', given, ['low', 'high'])), `Invalid level: must be one of "low", "high" (got ${shown(given)}).`);
  }
});

test('options object: only an object is accepted', () => {
  const options = {};
  assert.equal(optionsObject('options', 'an object', options), options);
  for (const given of [null, undefined, 3, 'text', true, () => {}]) assert.match(refused(() => optionsObject('options', 'an object', given)), /^Invalid options: must be an object/);
});

test('value in a message is short, and no code of the caller runs', () => {
  const hostile = {
    toString: () => assert.fail('toString was called'),
    [Symbol.toPrimitive]: () => assert.fail('toPrimitive was called'),
    get message() {
      return assert.fail('a getter was called');
    },
  };
  assert.equal(shown(hostile), 'an object');
  assert.equal(shown(Object.create(null)), 'an object');
  assert.equal(shown('x'.repeat(1000)).length, 43);
  assert.deepEqual([null, [], () => {}, 5n, undefined, true, -0, Symbol('a')].map(shown), ['null', 'an array', 'a function', '5n', 'undefined', 'true', '0', 'Symbol(a)']);
  assert.equal(invalid('mode', 'a word', hostile).message, 'Invalid mode: must be a word (got an object).');
});
