/**
 * What the caller already knows of a frame: bits of a packet's INPUT word.
 *
 * A NIC or a virtio header may have verified checksums; a datapath has parsed the Ethernet header. What is declared is
 * believed. As in Open vSwitch, a declared L4 checksum does not cover ICMP and ICMPv6, which are always verified;
 * KNOWN.NO_CHECKSUMS leaves out every sum there is.
 *
 * Imports nothing. Imported by wire/, engine/, flows/, cli/, bench/ and the public API.
 */
export const KNOWN = {
  /** The IPv4 header checksum was verified. */
  L3_CHECKSUM_GOOD: 1 << 0,
  /** The TCP, UDP or SCTP checksum was verified. */
  L4_CHECKSUM_GOOD: 1 << 1,
  /** The IPv4 header checksum was found wrong: the packet is invalid. */
  L3_CHECKSUM_BAD: 1 << 2,
  /** The L4 checksum was found wrong: the packet is invalid. */
  L4_CHECKSUM_BAD: 1 << 3,
  /** Verify no checksum at all, ICMP included. */
  NO_CHECKSUMS: 1 << 4,
  /** The network layer is IPv4 and starts at the packet's L3 offset; Ethernet is not looked at. */
  L3_IPV4: 1 << 5,
  /** The network layer is IPv6 and starts at the packet's L3 offset. */
  L3_IPV6: 1 << 6,
  /** There is no IP in the frame: it is never tracked. */
  L3_OTHER: 1 << 7,
} as const;
