/**
 * Ports of the switch: numbers, names that the caller gives, and the reserved ones of OpenFlow.
 *
 * Imports error, ../given. Imported by flows/parse, flows/match, flows/actions, flows/translate and the public API.
 */
import { checkText, checkWhole, quoted, shown } from '../given.js';
import { wrong } from './error.js';

/**
 * Reserved port numbers that rules can use. `output` is called with NORMAL and CONTROLLER as if they were one port
 * each: what a learning switch or a controller would make of the packet is the caller's to say.
 */
export const PORT = { IN_PORT: 0xfff8, NORMAL: 0xfffa, CONTROLLER: 0xfffd, LOCAL: 0xfffe } as const;

/** Largest number of an ordinary port. */
export const MAX_PORT = 0xfeff;

/** Port numbers by name. An array names the ports 1, 2, … in order. */
export type PortNames = ReadonlyMap<string, number> | readonly string[];

const RESERVED: ReadonlyMap<string, number | undefined> = new Map([
  ['in_port', PORT.IN_PORT],
  ['normal', PORT.NORMAL],
  ['controller', PORT.CONTROLLER],
  ['local', PORT.LOCAL],
  ...['table', 'flood', 'all', 'any', 'none', 'unset'].map(name => [name, undefined] as const),
]);

/** Names and numbers of a caller in plain JavaScript. @throws TypeError or RangeError when they are none */
export function checkPorts(ports: PortNames): void {
  if (!(ports instanceof Map || Array.isArray(ports))) {
    throw new TypeError(`flows.ports must be an array or a Map: ${shown(ports)}`);
  }
  const pairs = ports instanceof Map ? ports : Array.from(ports, (name, index) => [name, index + 1] as const);
  for (const [name, port] of pairs) {
    checkText('a name in flows.ports', name);
    checkWhole(`port ${quoted(name)} of flows.ports`, port, 0, MAX_PORT);
  }
}

function namedPort(name: string, ports: PortNames): number | undefined {
  if (ports instanceof Map) return ports.get(name);
  const index = (ports as readonly string[]).indexOf(name);
  return index < 0 ? undefined : index + 1;
}

/**
 * Number of the port that `text` names, or undefined when there is none of that name.
 * @throws FlowError for a number out of range and a reserved port that is not supported
 */
export function findPort(text: string, ports: PortNames): number | undefined {
  if (/^[0-9]+$/.test(text)) {
    if (Number(text) > MAX_PORT) throw wrong(text, `is not a port: 0 to ${MAX_PORT}`);
    return Number(text);
  }
  const bare = /^"(.+)"$/.exec(text)?.[1] ?? text;
  const named = namedPort(bare, ports);
  if (named !== undefined) return named;
  const reserved = text.toLowerCase();
  if (RESERVED.has(reserved) && RESERVED.get(reserved) === undefined) {
    throw wrong(text, 'this reserved port is not supported');
  }
  return RESERVED.get(reserved);
}

/** As findPort(), for text that must be a port. */
export function parsePort(text: string, ports: PortNames): number {
  const port = findPort(text, ports);
  if (port === undefined) throw wrong(text, `no port is called ${quoted(text)}`);
  return port;
}
