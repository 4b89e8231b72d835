/**
 * What the flow tables need of the engine, and what they tell it of a ct() action.
 *
 * The tables decide what happens to a packet; the engine does it. When rules are loaded each ct() action is given to
 * `defineAction` once. While a packet runs, `ct` executes one of them on the packet in place: the frame may be
 * rewritten by NAT, and the ct words of the packet's row (PACKET.STATE and those behind it) are written.
 *
 * Imports ../alg/helpers (types). Imported by the other files of flows/, by the engine's side and the public API.
 */
import type { HelperName } from '../alg/helpers.js';

/** How a connection is translated. */
export interface NatSpec {
  /** `restore`: as the connection was translated when it was committed; a new one is not. */
  readonly kind: 'src' | 'dst' | 'restore';
  /** Both included; numbers of 32 or 128 bits. Undefined: the address stays as it is. */
  readonly addresses: { readonly isIpv6: boolean; readonly min: bigint; readonly max: bigint } | undefined;
  /** 1 to 65535, both included. Undefined: the engine's choice. */
  readonly ports: { readonly min: number; readonly max: number } | undefined;
  readonly random: boolean;
  readonly hash: boolean;
  readonly persistent: boolean;
}

/** A ct() action, apart from where the packet goes next. */
export interface CtSpec {
  /** 0 to 65535. */
  readonly zone: number;
  readonly commit: boolean;
  readonly force: boolean;
  /** Bits of ct_mark to set; unsigned numbers of 32 bits. */
  readonly mark: { readonly value: number; readonly mask: number } | undefined;
  readonly label: { readonly value: bigint; readonly mask: bigint } | undefined;
  readonly nat: NatSpec | undefined;
  readonly alg: HelperName | undefined;
  /**
   * The rule takes the zone, the mark or the label from a field of the packet: what counts is in the CtParameters of
   * each call, and of the values here only the masks.
   */
  readonly variesByPacket: boolean;
}

/** Words of the parameters of one ct() call; valid during the call. The same as in the CtSpec unless it varies. */
export const CT_PARAMETER = {
  ZONE: 0,
  MARK: 1,
  MARK_MASK: 2,
  /** Four words each, least significant first, as in a packet's row. */
  LABEL: 3,
  LABEL_MASK: 7,
} as const;
export const CT_PARAMETER_WORDS = 11;

/** What becomes of a packet in a ct(). */
export const CT_OUTCOME = {
  GOES_ON: 0,
  /** It is no longer there to go on: a fragment that waits for the rest of its datagram. */
  GONE: 1,
  /** The same, and its datagram is whole with it: all fragments go on from here, each as a packet of its own. */
  COMPLETED: 2,
} as const;

/** What executes the ct() actions and takes the packets that leave. `packet` is the first word of a packet's row. */
export interface FlowContext {
  /** Frame memory: PACKET.FRAME_OFFSET is an offset in it. Read afresh for each packet. */
  readonly frames: DataView;
  /** The rows of PACKET_WORDS words. A packet from a port comes with PACKET.STATE 0. */
  readonly packets: Int32Array;

  /**
   * Takes an action when rules are loaded. May throw what the engine says of an action that it cannot run.
   * @returns its number, for `ct`
   */
  defineAction(spec: CtSpec): number;

  /**
   * Runs an action on the packet, in place.
   * @param pass how many passes this one is inside of
   * @returns one of CT_OUTCOME
   */
  ct(packet: number, action: number, parameters: Int32Array, pass: number): number;

  /** After COMPLETED: from now on nextCompleted() gives the fragments of that datagram. */
  beginCompleted(): void;

  /**
   * The next fragment to go on: the first word of its row in `packets`, which with `frames` may be other memory than
   * before. The one before it is done with.
   * @returns -1 when there is none; packets and frames are then again what they were before beginCompleted()
   */
  nextCompleted(): number;

  /** Makes the packet untracked: PACKET.STATE and the words behind it become 0. */
  ctClear(packet: number): void;

  /**
   * The packet leaves by a port: its number, or PORT.NORMAL, CONTROLLER or LOCAL. Frame and row are as they leave; both
   * may change when the call has returned, since a packet can leave more than once.
   */
  output(packet: number, port: number): void;
}
