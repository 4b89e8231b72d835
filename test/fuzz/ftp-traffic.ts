/**
 * FTP from a script: control connections over both families, the commands and replies that announce data connections,
 * well-formed, odd, damaged, cut in two or sent again, and data connections that were announced or were not. And through
 * source and destination NAT, with addresses that become longer or shorter.
 *
 * Pauses are short, and announcements few: what is expected neither ends nor has to give way.
 *
 * When NAT makes an address longer or shorter, each side waits for the other, and nothing comes twice: what Open vSwitch
 * makes of the rest is on the README's list, as is EPRT over IPv4 under NAT.
 *
 * Imports conformance/conversations, conformance/dialogue, conformance/judges, anatomy, script, traffic.
 */
import { type Path, path, tcpConversation } from '../conformance/conversations.js';
import { Dialogue } from '../conformance/dialogue.js';
import { LEAVE } from '../conformance/judges.js';
import { u16 } from './anatomy.js';
import { type Script, STEP_WORDS, stepsOf } from './script.js';
import type { Actions, Traffic, TrafficPacket } from './traffic.js';

const CONTROL_PORT = 21;
const SYN = 2;
const CONTROL = 0;
const DATA = 1;
export const FTP_ACTIONS: Actions = [{ helper: 'ftp' }, { commit: true }];
/** The same as flow rules. */
export const FTP_FLOWS = ['tcp', 'tcp6']
  .flatMap(match => ['tp_src', 'tp_dst'].map(port => `${match},${port}=${CONTROL_PORT}`))
  .map(match => `table=0,priority=200,${match},actions=ct(commit,alg=ftp,table=${LEAVE})\n`)
  .concat(['ip', 'ipv6'].map(match => `table=0,priority=100,${match},actions=ct(commit,table=${LEAVE})\n`))
  .concat([`table=0,priority=0,actions=goto_table:${LEAVE}\n`])
  .join('');

/** Both ends, as they know themselves and as the other one knows them. */
interface Place {
  readonly client: string;
  readonly server: string;
  readonly clientSeen: string;
  readonly serverSeen: string;
}

const PLAIN_PLACES: readonly Place[] = [
  ['10.0.0.1', '10.0.0.2'],
  ['2001:db8::1', '2001:db8::2'],
].map(([client, server]) => ({ client, server, clientSeen: client, serverSeen: server }));

/** Client, server, and as whom the one or the other is seen. */
const NAT_PLACES: readonly Place[] = [
  ['10.1.200.200', '10.2.0.2', '10.9.9.9', ''],
  ['10.1.0.2', '10.2.0.2', '10.109.109.109', ''],
  ['10.1.0.2', '10.2.0.2', '10.1.0.9', ''],
  ['10.1.0.2', '10.2.0.2', '', '10.2.0.8'],
  ['10.1.0.2', '10.2.0.2', '', '10.108.108.108'],
  ['10.1.0.2', '10.2.100.200', '', '1.1.1.1'],
  ['2001:db8::1', '2001:db8::2', '2001:db8::9', ''],
  ['2001:db8::1', '2001:db8::2', '2001:db8:1:2:3:4:5:6', ''],
  ['2001:db8:1:2:3:4:5:6', '2001:db8::2', '2001:db8::9', ''],
  ['2001:db8::1', '2001:db8::2', '', '2001:db8:f:e:d::8'],
].map(([client, server, clientSeen, serverSeen]) => ({
  client,
  server,
  clientSeen: clientSeen || client,
  serverSeen: serverSeen || server,
}));

/** For whoever comes from a server, for data connections that were announced, and for control connections of each place. */
const RESTORE = 0;
const ANNOUNCED = 1;
const FIRST_PLACE = 2;
export const FTP_NAT_ACTIONS: Actions = [
  { commit: false, nat: { kind: 'restore' } },
  { nat: { kind: 'restore' }, mark: { value: 3 } },
  ...NAT_PLACES.map(({ client, server, clientSeen }) => {
    const hidesClient = clientSeen !== client;
    const nat = { kind: hidesClient ? 'src' : 'dst', minAddress: hidesClient ? clientSeen : server } as const;
    return { helper: 'ftp', nat, label: { value: 0x77n << 64n } } as const;
  }),
];

const SOME_PAUSES = [0, 1, 2, 300];
/** Fewer than an engine keeps for one control connection. */
const MOST_ANNOUNCEMENTS = 7;
const CONTROLS = 2;
/** Announcements: {host} is an address with commas, {pair} a port in two numbers. */
const COMMANDS = ['PORT {host},{pair}', 'PORT {host},{pair}', 'port {host},{pair}', 'Port  {host},{pair}'];
const EXTENDED_COMMANDS = ['EPRT |1|{address}|{port}|', 'eprt |1|{address}|{port}|', 'EPRT !1!{address}!{port}!'];
const EXTENDED_COMMANDS6 = ['EPRT |2|{address}|{port}|', 'EPRT !2!{address}!{port}!'];
const REPLIES = ['227 Entering Passive Mode ({host},{pair}).', '227 ({host},{pair})', '227 {host},{pair} '];
const EXTENDED_REPLIES = [
  '229 Entering Extended Passive Mode (|||{port}|)',
  '229 EXTENDED PASSIVE (!!!{port}!)',
  '229 extended passive mode ok (|||{port}|)',
];
const ODD_COMMANDS = [
  'USER me',
  'PASV',
  'EPSV',
  'PORT {host},4,256',
  'PORT {host},256,4',
  'PORT {host},4',
  'PORT {host}',
  'PORT {address},{pair}',
  'PORT\t{host},{pair}',
  'PORT{host},{pair}',
  'PORT {host},0004,1',
  'PORT {host},00004,1',
  'PORT {host},4,00001',
  'PORT {host},4,1,9',
  'PORT {host} 4 1',
  'PORT {host},,4,1',
  'PORT 10,0,0,77,{pair}',
  'PORT 0,0,0,0,{pair}',
  'TYPE I\r\nPORT {host},{pair}',
  'PORT {host},{pair}\r\nPORT {host},{pair}',
  `PORT ${'x'.repeat(90)} {host},{pair}`,
  `PORT ${'x'.repeat(105)} {host},{pair}`,
  `EPRT ${'x'.repeat(100)} |1|{address}|{port}|`,
  'EPRT |3|{address}|{port}|',
  'EPRT |11|{address}|{port}|',
  'EPRT |1|{address}|65536|',
  'EPRT |1|{address}|0|',
  'EPRT |1|{address}|123456|',
  'EPRT |1|{address}|1234567|',
  'EPRT |1|{address}|000080|',
  'EPRT |1|{address}|',
  'EPRT |1||{port}|',
  'EPRT |1|{address}||{port}|',
  'EPRT |2|::1|{port}|',
  'EPRT |2|2001:DB8:0::1|{port}|',
  'EPRT |2|{address}%1|{port}|',
  'EPRT |2|::ffff:10.0.0.1|{port}|',
  'EPRT |2|{address}|65536|',
  'EPRT |2|{address}|{port}',
  'EPRT 2 {address} {port} ',
];
const ODD_REPLIES = [
  '220 ready',
  '200 PORT ok',
  '226 {host},{pair}',
  '227',
  '227 Entering Passive Mode',
  '227 Entering Passive Mode ({host},4,256).',
  '227 mode 2 ({host},{pair})',
  '227 (10,0,0,77,{pair})',
  '227-({host},{pair})',
  '227x ({host},{pair})',
  '229 Entering Extended Passive Mode',
  '229 Entering Extended Passive Mode (|||65536|)',
  '229 Entering Extended Passive Mode (|||0|)',
  '229 Entering Extended Passive Mode |||{port}|',
  '229 Entering Extended Passive Mode (|1|{address}|{port}|)',
  '229 Entering Extended  Passive Mode (|||{port}|)',
  '229 (|||{port}|)',
  '230 extended passive 5 (|||{port}|)',
  `229 ${'x'.repeat(90)} Extended Passive (|||{port}|)`,
  `229 Extended Passive ${'x'.repeat(100)} (|||{port}|)`,
];

function pick<T>(list: readonly T[], word: number): T {
  return list[word % list.length];
}

interface Control {
  readonly dialogue: Dialogue;
  announcements: number;
}

/** The side that waits for a data connection, and on which port. */
interface Announced {
  readonly isClient: boolean;
  readonly port: number;
  /** Whether what was said was well-formed. */
  readonly isSure: boolean;
}

class Play {
  readonly packets: TrafficPacket[] = [];
  readonly #place: Place;
  readonly #isIpv6: boolean;
  /** Under NAT, the action for the control connections of the place. */
  readonly #translating: number | undefined;
  /** Nothing becomes longer or shorter. */
  readonly #isEven: boolean;
  readonly #controls: Control[] = [];
  readonly #announced: Announced[] = [];
  #opened = 0;
  #nowMs = 0;

  constructor(place: Place, translating?: number) {
    this.#place = place;
    this.#isIpv6 = place.client.includes(':');
    this.#translating = translating;
    this.#isEven = place.client.length === place.clientSeen.length && place.server.length === place.serverSeen.length;
  }

  step(row: Uint32Array): void {
    const [kind, who, a, b, c, time] = row;
    this.#nowMs += pick(SOME_PAUSES, time);
    const slot = who % CONTROLS;
    const known = this.#controls[slot];
    if (known === undefined || known.announcements === MOST_ANNOUNCEMENTS || kind % 32 === 0) {
      this.#controls[slot] = this.#open();
    }
    const control = this.#controls[slot];
    const isClient = (kind >>> 16) % 2 === 0;
    // biome-ignore format: a table
    switch (kind % 16) {
      case 0: case 1: case 2: case 3: case 4: this.#announce(control, isClient, a, b); break;
      case 5: case 6: case 7: this.#odd(control, isClient, a, b, c); break;
      case 8: case 9: case 10: case 11: this.#data(pick(this.#announced, a), b, c); break;
      case 12: this.#stray(a, b, c); break;
      case 13: this.#again(a); break;
      case 14: this.#say(control, isClient, ''); break;
      default: if (a % 4 === 0) for (const frame of control.dialogue.closing()) this.#sendControl(frame);
    }
  }

  #open(): Control {
    const { client, server, clientSeen, serverSeen } = this.#place;
    // None comes again: with its connection goes what it has announced, in Open vSwitch some time later.
    const port = 40000 + this.#opened++;
    const ends = path(
      `${client}:${port}>${serverSeen}:${CONTROL_PORT}`,
      `${server}:${CONTROL_PORT}>${clientSeen}:${port}`,
    );
    const dialogue = new Dialogue(ends);
    for (const frame of dialogue.opening()) this.#sendControl(frame);
    return { dialogue, announcements: 0 };
  }

  #push(frame: Uint8Array, pass: number): void {
    this.packets.push({ frame, timeMs: this.#nowMs, passes: [pass] });
  }

  #sendControl(frame: Uint8Array): void {
    const isFromServer = u16(frame, this.#isIpv6 ? 54 : 34) === CONTROL_PORT;
    if (this.#translating === undefined) this.#push(frame, CONTROL);
    else this.#push(frame, isFromServer ? RESTORE : this.#translating);
  }

  #say({ dialogue }: Control, isClient: boolean, text: string, growth = 0): void {
    this.#sendControl(isClient ? dialogue.client(text, growth) : dialogue.server(text, growth));
  }

  /** A command or a reply that announces a data connection, and what the other side says to it. */
  #announce(control: Control, isClient: boolean, a: number, b: number): void {
    const isExtended = this.#isIpv6 || (a % 3 === 0 && !(isClient && this.#translating !== undefined));
    const commands = this.#isIpv6 ? EXTENDED_COMMANDS6 : isExtended ? EXTENDED_COMMANDS : COMMANDS;
    const replies = isExtended ? EXTENDED_REPLIES : REPLIES;
    const port = 1024 + (b % 4) * 257;
    const { client, server, clientSeen, serverSeen } = this.#place;
    const [own, seen] = isClient ? [client, clientSeen] : [server, serverSeen];
    // Under NAT some know already as whom they are seen.
    const said = a % 16 === 15 ? seen : own;
    const template = pick(isClient ? commands : replies, a >>> 4);
    const text = `${written(template, said, port)}\r\n`;
    const growth = written(template, seen, port).length - written(template, said, port).length;
    control.announcements++;
    this.#say(control, isClient, text, growth);
    this.#announced.push({ isClient, port, isSure: true });
    if (a % 2 === 0) this.#say(control, !isClient, isClient ? '200 ok\r\n' : '');
    else this.#say(control, !isClient, isClient ? '' : 'RETR x\r\n');
  }

  /** Something else, perhaps damaged, or in two segments. */
  #odd(control: Control, isClient: boolean, a: number, b: number, c: number): void {
    if (!this.#isEven) {
      this.#say(control, isClient, `${pick(isClient ? ['USER me', 'LIST', ''] : ['220 ready', '150 here'], a)}\r\n`);
      this.#say(control, !isClient, '');
      return;
    }
    const commands = [...ODD_COMMANDS, ...COMMANDS, ...EXTENDED_COMMANDS, ...EXTENDED_COMMANDS6];
    const all = isClient ? commands : [...ODD_REPLIES, ...REPLIES, ...EXTENDED_REPLIES];
    const port = 1024 + (b % 4) * 257;
    const said = isClient === (a % 16 !== 15) ? this.#place.client : this.#place.server;
    const ending = b % 8 < 6 ? '\r\n' : pick(['', '\n', ' ', '.'], b >>> 3);
    const text = damaged(`${written(pick(all, a >>> 4), said, port)}${ending}`, c);
    if (this.#translating !== undefined && /eprt/i.test(text) && !this.#keepsItsLength(text)) return;
    control.announcements++;
    this.#announced.push({ isClient, port, isSure: false });
    const cut = (b >>> 8) % 4 === 0 ? (b >>> 10) % (text.length + 1) : text.length;
    for (const part of [text.slice(0, cut), text.slice(cut)]) if (part !== '') this.#say(control, isClient, part);
    if (a % 2 === 0) this.#say(control, !isClient, '');
  }

  /** An address that is written in another way than Open vSwitch writes it becomes longer or shorter. */
  #keepsItsLength(text: string): boolean {
    return this.#isIpv6 && text.includes(this.#place.client);
  }

  /** The connection to whoever waits; all of it, or its beginning. */
  #data(announced: Announced | undefined, b: number, c: number): void {
    if (announced === undefined) return;
    const { client, server, clientSeen, serverSeen } = this.#place;
    const { isClient, port, isSure } = announced;
    const own = isClient ? [20, 20, 3000][b % 3] : 41000 + (b % 3);
    const ends = isClient
      ? path(`${server}:${own}>${clientSeen}:${port}`, `${client}:${port}>${serverSeen}:${own}`)
      : path(`${client}:${own}>${serverSeen}:${port}`, `${server}:${port}>${clientSeen}:${own}`);
    this.#conversation(ends, c, isSure ? ANNOUNCED : RESTORE);
  }

  /** A connection to a port that nobody, or the other side, has announced. */
  #stray(a: number, b: number, c: number): void {
    const { isClient, port } = pick(this.#announced, a) ?? { isClient: true, port: 1024 };
    const { client, server, clientSeen, serverSeen } = this.#place;
    const to = b % 2 === 0 ? port : port + 1;
    const ends =
      isClient === (b % 2 === 0)
        ? path(`${client}:42000>${serverSeen}:${to}`, `${server}:${to}>${clientSeen}:42000`)
        : path(`${server}:42000>${clientSeen}:${to}`, `${client}:${to}>${serverSeen}:42000`);
    this.#conversation(ends, c, RESTORE);
  }

  #conversation(ends: Path, word: number, pass: number): void {
    const frames = tcpConversation(ends);
    const count = word % 2 === 0 ? frames.length : 1 + ((word >>> 1) % frames.length);
    for (const [index, frame] of frames.slice(0, count).entries()) {
      // Only the first one commits: plain nat is not for what nobody expects.
      const translating = index === 0 ? pass : RESTORE;
      this.#push(frame, this.#translating === undefined ? DATA : translating);
    }
  }

  #again(a: number): void {
    if (!this.#isEven) return;
    const { frame, passes } = pick(this.packets.slice(-12), a);
    const flags = frame[this.#isIpv6 ? 67 : 47];
    if ((flags & SYN) === 0) this.#push(frame, passes[0]);
  }
}

function written(template: string, address: string, port: number): string {
  return template
    .replaceAll('{address}', address)
    .replaceAll('{host}', address.replaceAll('.', ','))
    .replaceAll('{pair}', `${port >> 8},${port & 0xff}`)
    .replaceAll('{port}', `${port}`);
}

/** The text with one character changed, left out or doubled, now and then. */
function damaged(text: string, word: number): string {
  const at = (word >>> 8) % text.length;
  const letter = String.fromCharCode(
    pick(
      [...',|.:0 9\0Pf(\x7f'].map(one => one.charCodeAt(0)),
      word >>> 20,
    ),
  );
  switch (word % 16) {
    case 0:
      return text.slice(0, at) + letter + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + text.slice(at + 1);
    case 2:
      return text.slice(0, at) + letter + text.slice(at);
    default:
      return text;
  }
}

function played(made: Play, script: Script): Traffic {
  for (let step = 1; step < stepsOf(script); step++) {
    made.step(script.subarray(step * STEP_WORDS, (step + 1) * STEP_WORDS));
  }
  return { packets: made.packets, checksSequence: true, hasHelpers: true };
}

export function ftpTraffic(script: Script): Traffic {
  return played(new Play(pick(PLAIN_PLACES, script[0])), script);
}

export function translatedFtpTraffic(script: Script): Traffic {
  const place = script[0] % NAT_PLACES.length;
  return played(new Play(NAT_PLACES[place], FIRST_PLACE + place), script);
}
