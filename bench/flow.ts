/**
 * The flows of the benchmarks, by number.
 *
 * Flow number n goes from port 1024 + n mod 256 of client 10.0.0.0 + n / 256 to one port of one server; over IPv6 the
 * same words end addresses of one /96. The engine's hash is keyed, so neighbouring flows lie anywhere in the table.
 *
 * Imports flood/template. Imported by chunk.
 */
import { type Template, writeTcp, writeUdp } from '../src/flood/template.js';

const CLIENT_NET = 0x0a000000;
const SERVER = 0xc0a80001;
const FIRST_PORT = 1024;
const SERVER_PORT = 443;

/**
 * Turns a copy of the template's bytes at `at` into a packet of flow number `flow`, with its checksums.
 * @param isReply from the server to the client
 * @param seq TCP sequence number, and `ack` the number acknowledged; not looked at for UDP
 */
export function writeFlow(
  view: DataView,
  at: number,
  template: Template,
  flow: number,
  isReply: boolean,
  seq: number,
  ack: number,
): void {
  const client = CLIENT_NET + (flow >>> 8);
  const port = FIRST_PORT + (flow & 0xff);
  const src = isReply ? SERVER : client;
  const dst = isReply ? client : SERVER;
  const ports = isReply ? (SERVER_PORT << 16) | port : (port << 16) | SERVER_PORT;
  if (template.isTcp) writeTcp(view, at, template, src, dst, ports, seq, ack);
  else writeUdp(view, at, template, src, dst, ports);
}
