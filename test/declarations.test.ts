/** The declarations of the public API are read by compilers older than the one that writes them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const INDEX = new URL('../src/index.d.ts', import.meta.url);
/** What TypeScript 5.4 knows without type arguments. */
const NEW_GENERIC = /\b(?:DataView|(?:Int|Uint|Float|BigInt|BigUint)\w*Array)</;

/** Every declaration file that those of `file` import, by address. */
function gather(file: URL, texts: Map<string, string>): void {
  if (texts.has(file.href)) return;
  const text = readFileSync(file, 'utf8');
  texts.set(file.href, text);
  for (const [, path] of text.matchAll(/(?:from |import\()["'](\.[^"']+)\.js["']/g)) {
    gather(new URL(`${path}.d.ts`, file), texts);
  }
}

test('no public declaration gives arguments to a type that took none in TypeScript 5.4', () => {
  const texts = new Map<string, string>();
  gather(INDEX, texts);
  assert.ok(texts.size > 30, `${texts.size} files`);
  assert.deepEqual(
    [...texts].filter(([, text]) => NEW_GENERIC.test(text)).map(([file]) => file),
    [],
  );
});
