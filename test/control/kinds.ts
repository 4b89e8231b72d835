/**
 * Random packets of every kind that opens a connection, from few enough addresses and ports to meet again.
 *
 * Imports support/frames, support/random.
 */
import { frame, icmp, icmpv6, ipv4, ipv6, raw, sctp, type Transport, tcp, udp } from '../support/frames.js';
import type { Random } from '../support/random.js';

export const IPV4 = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '200.1.2.3'] as const;
export const IPV6 = ['fd00::1', 'fd00::2', 'fd00:1::1'] as const;
export const PORTS = [1, 53, 80, 8080, 40_000] as const;

const TRANSPORTS: readonly ((random: Random) => Transport)[] = [
  random => udp({ sport: random.pick(PORTS), dport: random.pick(PORTS) }),
  random => tcp({ sport: random.pick(PORTS), dport: random.pick(PORTS), flags: random.pick(['S', 'SA', 'A', 'R']) }),
  random => sctp({ sport: random.pick(PORTS), dport: random.pick(PORTS) }),
  () => raw(112, [1, 2, 3, 4, 5, 6, 7, 8]),
  random => icmp({ id: random.between(1, 3), type: random.pick([8, 13]) }),
  random => icmpv6({ id: random.between(1, 3), type: 128 }),
];

/** Kinds that randomFrame() knows. */
export const KIND_COUNT = 2 * (TRANSPORTS.length - 1);

export function randomFrame(random: Random, kind: number): Uint8Array {
  const isIpv6 = kind % 2 === 1;
  const place = kind >>> 1;
  const isEcho = place === TRANSPORTS.length - 2;
  const transport = TRANSPORTS[isEcho && isIpv6 ? place + 1 : place](random);
  if (isIpv6) return frame(ipv6({ src: random.pick(IPV6), dst: random.pick(IPV6) }, transport));
  return frame(ipv4({ src: random.pick(IPV4), dst: random.pick(IPV4) }, transport));
}
