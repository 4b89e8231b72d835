/**
 * Rule text to words: `key`, `key=value`, `key:value` and `key(value)`, between commas or white space.
 *
 * The same grammar serves a rule, its actions, and what stands in the parentheses of ct(), nat() and exec(). As in
 * Open vSwitch parentheses nest inside a value, and `(…)->name` is one value; unlike there a parenthesis that is never
 * closed is an error.
 *
 * Imports error. Imported by flows/parse, flows/actions and flows/ct.
 */
import { wrong } from './error.js';

export interface Word {
  readonly key: string;
  /** What follows the key; undefined when nothing does, so that `key=` can be told from `key`. */
  readonly value: string | undefined;
  /** The whole word. */
  readonly text: string;
}

const SEPARATORS = /[\s,]+/y;
const KEY_ENDS = /[:=(,\s]/g;
const VALUE_ENDS = /[,\s]/g;

/** First match of a global expression at or behind `from`, or the end of the text. */
function findFrom(text: string, expression: RegExp, from: number): number {
  expression.lastIndex = from;
  return expression.exec(text)?.index ?? text.length;
}

/** Position behind the parenthesis that closes the one at `open`. */
function behindParenthesis(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')' && --depth === 0) return at + 1;
  }
  throw wrong(text.slice(open), 'the parenthesis is never closed');
}

/** Position behind a value that starts at `from`: the next separator that is not inside parentheses. */
function behindValue(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    const end = findFrom(text, VALUE_ENDS, at);
    const open = text.indexOf('(', at);
    if (open < 0 || open >= end) return end;
    at = behindParenthesis(text, open);
  }
  return at;
}

function wordAt(text: string, from: number): { readonly word: Word; readonly end: number } {
  const keyEnd = findFrom(text, KEY_ENDS, from);
  const key = text.slice(from, keyEnd);
  const mark = text[keyEnd];
  if (mark === '=' || mark === ':') {
    const end = behindValue(text, keyEnd + 1);
    return { word: { key, value: text.slice(keyEnd + 1, end), text: text.slice(from, end) }, end };
  }
  if (mark !== '(') return { word: { key, value: undefined, text: key }, end: keyEnd };
  const close = behindParenthesis(text, keyEnd);
  // load(1)->reg0: the parentheses are part of the value.
  const end = text.startsWith('->', close) ? behindValue(text, close) : close;
  const value = end === close ? text.slice(keyEnd + 1, close - 1) : text.slice(keyEnd + 1, end);
  return { word: { key, value, text: text.slice(from, end) }, end };
}

/** @throws FlowError when a parenthesis is not closed or a key is missing */
export function splitWords(text: string): Word[] {
  const words: Word[] = [];
  let at = 0;
  for (;;) {
    SEPARATORS.lastIndex = at;
    at += SEPARATORS.exec(text)?.[0].length ?? 0;
    if (at >= text.length) return words;
    const { word, end } = wordAt(text, at);
    if (word.key === '') throw wrong(word.text, 'a word is missing in front');
    words.push(word);
    at = end;
  }
}

/** The value of a word. @throws FlowError when there is none */
export function neededValue(word: Word): string {
  if (word.value === undefined || word.value === '') throw wrong(word.key, 'needs a value');
  return word.value;
}

/** @throws FlowError when the word has a value */
export function withoutValue(word: Word): void {
  if (word.value !== undefined) throw wrong(word.text, `${word.key} takes no value`);
}
