/**
 * A helper's reading of a text in a test: placed in the middle of a larger memory, of which nothing else may be read.
 *
 * Imports src/alg, wire/guarded.
 */
import { CLIENT_PORT, END, type Helper, MESSAGE, MESSAGE_WORDS, SAYS } from '../../src/alg/helper.js';
import { formatIpv4, formatIpv6 } from '../../src/control/address.js';
import { GuardedView } from '../wire/guarded.js';

const START = 37;

/** `nothing`, `malformed`, or what is announced. */
export type Reading =
  | 'nothing'
  | 'malformed'
  | {
      readonly port: number | 'client';
      /** The address and whose it is, and its text as it stands in the payload. */
      readonly client?: string;
      readonly server?: string;
      readonly text?: string;
    };

export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, letter => letter.charCodeAt(0));
}

export function read(helper: Helper, payload: Uint8Array, isIpv6 = false): Reading {
  const view = new GuardedView(new ArrayBuffer(START + payload.length + 64));
  view.start = START;
  view.end = START + payload.length;
  // Digits all around: whoever reads too far goes on with a number.
  new Uint8Array(view.buffer).fill(0x31).set(payload, START);
  const message = new Int32Array(MESSAGE_WORDS);
  const says = helper.read(view, START, START + payload.length, isIpv6, message);
  if (says === SAYS.NOTHING) return 'nothing';
  if (says === SAYS.MALFORMED) return 'malformed';
  const port = message[MESSAGE.PORT] === CLIENT_PORT ? 'client' : message[MESSAGE.PORT];
  const end = message[MESSAGE.END];
  if (end === END.NONE) return { port };
  const address = isIpv6 ? formatIpv6(message, MESSAGE.ADDRESS0) : formatIpv4(message[MESSAGE.ADDRESS]);
  const at = message[MESSAGE.AT] - START;
  const text = String.fromCharCode(...payload.subarray(at, at + message[MESSAGE.LENGTH]));
  return { port, [end === END.CLIENT ? 'client' : 'server']: address, text };
}

export function readText(helper: Helper, text: string, isIpv6 = false): Reading {
  return read(helper, bytesOf(text), isIpv6);
}
