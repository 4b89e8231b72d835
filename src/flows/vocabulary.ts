/**
 * The fields that rules can name: in matches, in `load`, `move` and `set_field`, as a zone. One list says how a field
 * is called, where it lies in the flow key, how its value is written, and what a rule must match besides.
 *
 * Imports error, key, numbers. Imported by flows/match, flows/subfield and flows/supported.
 */
import { wrong } from './error.js';
import { DL_TYPE, KEY, NW_FRAG, VLAN_PRESENT } from './key.js';
import {
  allOnes,
  type Masked,
  parseFlags,
  parseInteger,
  parseMaskedInteger,
  parseMaskedIpv4,
  parseMaskedIpv6,
  parseMaskedMac,
} from './numbers.js';

/** What a rule has to match for a field to have a meaning. Rules that do not are refused. */
export type Need =
  | 'nothing'
  | 'ip'
  | 'ipv4-or-arp'
  | 'ipv6'
  | 'arp'
  | 'ip-or-arp'
  | 'tcp'
  | 'udp'
  | 'sctp'
  | 'ports'
  | 'icmp'
  | 'icmp6'
  | 'tracked'
  | 'tracked-ipv4'
  | 'tracked-ipv6'
  | 'tracked-ports';

export interface Field {
  /** The first is the one in messages. */
  readonly names: readonly string[];
  /** Last word in the flow key: the one with the least significant bit. */
  readonly lastWord: number;
  readonly bits: number;
  readonly needs: Need;
  /** Where actions may write it. */
  readonly writable: 'never' | 'always' | 'in-ct';
  /** Reads what stands behind `name=`. Ports of the switch, which can have names, are read by flows/match. */
  readonly parse: (text: string) => Masked;
  /** Further names in actions: NXM_NX_REG0 and the like. A field without any cannot be moved. */
  readonly movedAs: readonly string[];
}

interface Options {
  readonly needs?: Need;
  readonly writable?: Field['writable'];
  readonly parse?: (text: string) => Masked;
  readonly movedAs?: readonly string[];
}

/** An integer that takes no mask. */
function exact(bits: number): (text: string) => Masked {
  return text => {
    if (text.includes('/')) throw wrong(text, 'this field takes no mask');
    return { value: parseInteger(text, bits), mask: allOnes(bits) };
  };
}

function maskable(bits: number): (text: string) => Masked {
  return text => parseMaskedInteger(text, bits);
}

/** `names` is one name or several with spaces between. */
function field(names: string, lastWord: number, bits: number, options: Options = {}): Field {
  const { needs = 'nothing', writable = 'never', parse = exact(bits), movedAs = [] } = options;
  return { names: names.split(' '), lastWord, bits, needs, writable, parse, movedAs };
}

/** Names of the bits of ct_state, bit 0 first. */
const CT_STATE_NAMES = ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'];
const TCP_FLAG_NAMES = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns', '', '', ''];

const FRAGMENT_KINDS: Readonly<Record<string, Masked>> = {
  no: { value: 0n, mask: BigInt(NW_FRAG.ANY | NW_FRAG.LATER) },
  yes: { value: BigInt(NW_FRAG.ANY), mask: BigInt(NW_FRAG.ANY) },
  first: { value: BigInt(NW_FRAG.ANY), mask: BigInt(NW_FRAG.ANY | NW_FRAG.LATER) },
  later: { value: BigInt(NW_FRAG.ANY | NW_FRAG.LATER), mask: BigInt(NW_FRAG.ANY | NW_FRAG.LATER) },
  not_later: { value: 0n, mask: BigInt(NW_FRAG.LATER) },
};

function parseFragment(text: string): Masked {
  const kinds = Object.keys(FRAGMENT_KINDS);
  const kind = text.toLowerCase();
  if (!kinds.includes(kind)) throw wrong(text, `is not a kind of fragment: ${kinds.join(', ')}`);
  return FRAGMENT_KINDS[kind];
}

/** A VLAN number; 0xffff asks for a frame without a tag. */
function parseVlan(text: string): Masked {
  const { value } = exact(16)(text);
  if (value === 0xffffn) return { value: 0n, mask: BigInt(VLAN_PRESENT | 0xfff) };
  if (value > 0xfffn) throw wrong(text, 'is not a VLAN: 0 to 4095, or 0xffff for "no tag"');
  return { value: value | BigInt(VLAN_PRESENT), mask: BigInt(VLAN_PRESENT | 0xfff) };
}

function parseVlanPriority(text: string): Masked {
  const { value } = exact(3)(text);
  return { value: (value << 13n) | BigInt(VLAN_PRESENT), mask: BigInt(VLAN_PRESENT | 0xe000) };
}

const { SRC, DST, CT_SRC, CT_DST, TP_SRC, TP_DST } = KEY;
const ipv4 = (needs: Need, ...movedAs: readonly string[]): Options => ({ needs, parse: parseMaskedIpv4, movedAs });
const ipv6 = (needs: Need, ...movedAs: readonly string[]): Options => ({ needs, parse: parseMaskedIpv6, movedAs });
const port = (needs: Need, ...movedAs: readonly string[]): Options => ({ needs, parse: maskable(16), movedAs });
const writes = (bits: number, writable: Field['writable'], ...movedAs: readonly string[]): Options => {
  return { parse: maskable(bits), writable, movedAs };
};
const mac = (...movedAs: readonly string[]): Options => ({ parse: parseMaskedMac, movedAs });

/** reg0 to reg15, and the wider registers that are made of them, the first being the most significant. */
function registers(prefix: string, count: number, bits: number): Field[] {
  const words = bits / 32;
  const movedAs = (number: number) => (words === 2 ? `OXM_OF_PKT_REG${number}` : `NXM_NX_${prefix}${number}`);
  return Array.from({ length: count }, (_, number) => {
    const lastWord = KEY.REG + (number + 1) * words - 1;
    const name = `${prefix.toLowerCase()}${number}`;
    return field(name, lastWord, bits, writes(bits, 'always', movedAs(number)));
  });
}

/** Every field. */
export const FIELDS: readonly Field[] = [
  field('in_port', KEY.IN_PORT, 16, { movedAs: ['NXM_OF_IN_PORT'] }),
  field('dl_type eth_type', KEY.DL_TYPE, 16, { movedAs: ['NXM_OF_ETH_TYPE', 'OXM_OF_ETH_TYPE'] }),
  field('dl_src eth_src', KEY.DL_SRC + 1, 48, mac('NXM_OF_ETH_SRC', 'OXM_OF_ETH_SRC')),
  field('dl_dst eth_dst', KEY.DL_DST + 1, 48, mac('NXM_OF_ETH_DST', 'OXM_OF_ETH_DST')),
  field('dl_vlan', KEY.VLAN_TCI, 16, { parse: parseVlan }),
  field('dl_vlan_pcp', KEY.VLAN_TCI, 16, { parse: parseVlanPriority }),
  field('vlan_tci', KEY.VLAN_TCI, 16, { parse: maskable(16), movedAs: ['NXM_OF_VLAN_TCI'] }),

  field('nw_proto ip_proto', KEY.NW_PROTO, 8, { needs: 'ip-or-arp', movedAs: ['NXM_OF_IP_PROTO', 'OXM_OF_IP_PROTO'] }),
  field('nw_frag ip_frag', KEY.NW_FRAG, 2, { needs: 'ip', parse: parseFragment }),
  field('nw_src ip_src', SRC + 3, 32, ipv4('ipv4-or-arp', 'NXM_OF_IP_SRC', 'OXM_OF_IPV4_SRC')),
  field('nw_dst ip_dst', DST + 3, 32, ipv4('ipv4-or-arp', 'NXM_OF_IP_DST', 'OXM_OF_IPV4_DST')),
  field('ipv6_src', SRC + 3, 128, ipv6('ipv6', 'NXM_NX_IPV6_SRC', 'OXM_OF_IPV6_SRC')),
  field('ipv6_dst', DST + 3, 128, ipv6('ipv6', 'NXM_NX_IPV6_DST', 'OXM_OF_IPV6_DST')),
  field('arp_op', KEY.NW_PROTO, 8, { needs: 'arp' }),
  field('arp_spa', SRC + 3, 32, ipv4('arp', 'NXM_OF_ARP_SPA', 'OXM_OF_ARP_SPA')),
  field('arp_tpa', DST + 3, 32, ipv4('arp', 'NXM_OF_ARP_TPA', 'OXM_OF_ARP_TPA')),

  field('tp_src', TP_SRC, 16, port('ports')),
  field('tp_dst', TP_DST, 16, port('ports')),
  field('tcp_src', TP_SRC, 16, port('tcp', 'NXM_OF_TCP_SRC', 'OXM_OF_TCP_SRC')),
  field('tcp_dst', TP_DST, 16, port('tcp', 'NXM_OF_TCP_DST', 'OXM_OF_TCP_DST')),
  field('udp_src', TP_SRC, 16, port('udp', 'NXM_OF_UDP_SRC', 'OXM_OF_UDP_SRC')),
  field('udp_dst', TP_DST, 16, port('udp', 'NXM_OF_UDP_DST', 'OXM_OF_UDP_DST')),
  field('sctp_src', TP_SRC, 16, port('sctp', 'OXM_OF_SCTP_SRC')),
  field('sctp_dst', TP_DST, 16, port('sctp', 'OXM_OF_SCTP_DST')),
  field('icmp_type', TP_SRC, 8, { needs: 'icmp' }),
  field('icmp_code', TP_DST, 8, { needs: 'icmp' }),
  field('icmpv6_type', TP_SRC, 8, { needs: 'icmp6' }),
  field('icmpv6_code', TP_DST, 8, { needs: 'icmp6' }),
  field('tcp_flags', KEY.TCP_FLAGS, 12, { needs: 'tcp', parse: text => parseFlags(text, TCP_FLAG_NAMES, 12) }),

  field('ct_state', KEY.CT_STATE, 8, { parse: text => parseFlags(text, CT_STATE_NAMES, 8) }),
  field('ct_zone', KEY.CT_ZONE, 16, { movedAs: ['NXM_NX_CT_ZONE'] }),
  field('ct_mark', KEY.CT_MARK, 32, writes(32, 'in-ct', 'NXM_NX_CT_MARK')),
  field('ct_label', KEY.CT_LABEL + 3, 128, writes(128, 'in-ct', 'NXM_NX_CT_LABEL')),
  field('ct_nw_proto', KEY.CT_NW_PROTO, 8, { needs: 'tracked', movedAs: ['NXM_NX_CT_NW_PROTO'] }),
  field('ct_nw_src', CT_SRC + 3, 32, ipv4('tracked-ipv4', 'NXM_NX_CT_NW_SRC')),
  field('ct_nw_dst', CT_DST + 3, 32, ipv4('tracked-ipv4', 'NXM_NX_CT_NW_DST')),
  field('ct_ipv6_src', CT_SRC + 3, 128, ipv6('tracked-ipv6', 'NXM_NX_CT_IPV6_SRC')),
  field('ct_ipv6_dst', CT_DST + 3, 128, ipv6('tracked-ipv6', 'NXM_NX_CT_IPV6_DST')),
  field('ct_tp_src', KEY.CT_TP_SRC, 16, port('tracked-ports', 'NXM_NX_CT_TP_SRC')),
  field('ct_tp_dst', KEY.CT_TP_DST, 16, port('tracked-ports', 'NXM_NX_CT_TP_DST')),

  field('metadata', KEY.METADATA + 1, 64, writes(64, 'always', 'OXM_OF_METADATA')),
  ...registers('REG', 16, 32),
  ...registers('XREG', 8, 64),
  ...registers('XXREG', 4, 128),
];

/** Protocol keywords: the ethertype and, above 0, the IP protocol that they stand for. */
export const PROTOCOLS: ReadonlyMap<string, readonly [dlType: number, nwProto: number]> = new Map([
  ['ip', [DL_TYPE.IP, 0]],
  ['ipv4', [DL_TYPE.IP, 0]],
  ['ip4', [DL_TYPE.IP, 0]],
  ['icmp', [DL_TYPE.IP, 1]],
  ['tcp', [DL_TYPE.IP, 6]],
  ['udp', [DL_TYPE.IP, 17]],
  ['sctp', [DL_TYPE.IP, 132]],
  ['ipv6', [DL_TYPE.IPV6, 0]],
  ['ip6', [DL_TYPE.IPV6, 0]],
  ['icmp6', [DL_TYPE.IPV6, 58]],
  ['tcp6', [DL_TYPE.IPV6, 6]],
  ['udp6', [DL_TYPE.IPV6, 17]],
  ['sctp6', [DL_TYPE.IPV6, 132]],
  ['arp', [DL_TYPE.ARP, 0]],
  ['rarp', [DL_TYPE.RARP, 0]],
]);

export const FIELD_BY_NAME: ReadonlyMap<string, Field> = new Map(
  FIELDS.flatMap(one => one.names.map(name => [name, one] as const)),
);

/** The names that actions may use: those of matches and the NXM and OXM ones. */
export const MOVABLE_BY_NAME: ReadonlyMap<string, Field> = new Map(
  FIELDS.filter(one => one.movedAs.length > 0).flatMap(one =>
    [...one.names, ...one.movedAs].map(name => [name, one] as const),
  ),
);
