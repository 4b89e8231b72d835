/**
 * The actions of a rule.
 *
 * Imports ct, error, match, numbers, ports, subfield, words. Imported by flows/parse and flows/compile.
 */
import { type CtAction, parseCt } from './ct.js';
import { wrong } from './error.js';
import type { Match } from './match.js';
import { parseNumber, parseTableNumber } from './numbers.js';
import { findPort, MAX_PORT, PORT, type PortNames, parsePort } from './ports.js';
import { type KeyWrite, parseLoad, parseMove, parseSetField } from './subfield.js';
import { neededValue, splitWords, type Word, withoutValue } from './words.js';

export type FlowAction =
  | {
      readonly kind: 'output';
      /** PORT.IN_PORT: back to where the packet came from. */
      readonly port: number;
    }
  | {
      readonly kind: 'resubmit';
      /** Port for the lookup; undefined: the packet's own. */
      readonly port: number | undefined;
      /** Undefined: the table of the rule. */
      readonly table: number | undefined;
    }
  | { readonly kind: 'goto'; readonly table: number }
  | { readonly kind: 'write'; readonly write: KeyWrite }
  | { readonly kind: 'ct-clear' }
  | CtAction;

/** What an action is read in. */
interface Place {
  readonly table: number;
  readonly match: Match;
  readonly ports: PortNames;
}

type Reader = (word: Word, place: Place) => FlowAction;

function readOutput(word: Word, { ports }: Place): FlowAction {
  const text = neededValue(word);
  if (text.includes('=')) throw wrong(text, 'output to a port and nothing else is supported');
  return { kind: 'output', port: parsePort(text, ports) };
}

/** The packet-in message itself is not modelled: what the words of controller() ask of it is checked and forgotten. */
function readController(word: Word): FlowAction {
  const text = word.value ?? '';
  if (/^[0-9]+$/.test(text)) {
    parseNumber(text, 0, 0xffff);
  } else {
    for (const argument of splitWords(text)) {
      if (argument.key === 'max_len' || argument.key === 'id') parseNumber(neededValue(argument), 0, 0xffff);
      else if (argument.key !== 'reason') throw wrong(argument.text, 'controller takes max_len, id and reason');
    }
  }
  return { kind: 'output', port: PORT.CONTROLLER };
}

function readResubmit(word: Word, { ports }: Place): FlowAction {
  const [portText, tableText, more] = (word.value ?? '').split(',').map(part => part.trim());
  if (more !== undefined) throw wrong(word.text, 'a port and a table are all that resubmit takes here');
  const named = portText ? parsePort(portText, ports) : PORT.IN_PORT;
  if (named > MAX_PORT && named !== PORT.IN_PORT && named !== PORT.LOCAL) {
    throw wrong(portText, 'no packet comes in at this port');
  }
  const port = named === PORT.IN_PORT ? undefined : named;
  const table = tableText ? parseTableNumber(tableText) : undefined;
  if (port === undefined && table === undefined) throw wrong(word.text, 'needs a port or a table');
  return { kind: 'resubmit', port, table };
}

function readGoto(word: Word, place: Place): FlowAction {
  const table = parseTableNumber(neededValue(word));
  if (table <= place.table) throw wrong(word.text, `goto_table leads forward only, from table ${place.table}`);
  return { kind: 'goto', table };
}

function outputTo(port: number): Reader {
  return word => {
    withoutValue(word);
    return { kind: 'output', port };
  };
}

/** The actions that have a name. */
const READERS: Readonly<Record<string, Reader>> = {
  output: readOutput,
  controller: readController,
  normal: outputTo(PORT.NORMAL),
  local: outputTo(PORT.LOCAL),
  in_port: outputTo(PORT.IN_PORT),
  resubmit: readResubmit,
  goto_table: readGoto,
  ct: (word, place) => parseCt(word, place.match),
  ct_clear: word => {
    withoutValue(word);
    return { kind: 'ct-clear' };
  },
  load: word => ({ kind: 'write', write: parseLoad(neededValue(word), 'rule') }),
  set_field: word => ({ kind: 'write', write: parseSetField(neededValue(word), 'rule') }),
  move: (word, { match }) => ({ kind: 'write', write: parseMove(neededValue(word), 'rule', match) }),
};

/** Names of the actions, `drop` among them. A bare port is one as well. */
export const ACTION_NAMES: readonly string[] = ['drop', ...Object.keys(READERS)];

function readAction(word: Word, place: Place): FlowAction {
  const name = word.key.toLowerCase();
  if (Object.hasOwn(READERS, name)) return READERS[name](word, place);
  const port = word.value === undefined ? findPort(word.key, place.ports) : undefined;
  if (port === undefined) throw wrong(word.key, 'is not an action that is supported, nor a port');
  return { kind: 'output', port };
}

/**
 * Reads what stands behind `actions=`; nothing, and `drop`, are no actions.
 * @param table number of the rule's table
 * @throws FlowError
 */
export function parseActions(text: string, table: number, match: Match, ports: PortNames): FlowAction[] {
  const words = splitWords(text);
  const isDrop = (word: Word) => word.key.toLowerCase() === 'drop';
  const drop = words.find(isDrop);
  if (drop !== undefined) {
    withoutValue(drop);
    if (!words.every(isDrop)) throw wrong(drop.text, 'cannot stand with other actions');
    return [];
  }
  const place = { table, match, ports };
  const actions = words.map(word => readAction(word, place));
  const jump = actions.findIndex(action => action.kind === 'goto');
  if (jump >= 0 && jump !== actions.length - 1) throw wrong(words[jump].text, 'must be the last action');
  return actions;
}
