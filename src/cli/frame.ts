/**
 * What a capture knows of a frame that the engine has to be told: where the network layer is, for the link types that
 * the engine does not take apart itself.
 *
 * Imports pcap/linktype, wire/known, wire/ethernet. Imported by feed.
 */
import { networkLayer } from '../pcap/linktype.js';
import { ETHERTYPE } from '../wire/ethernet.js';
import { KNOWN } from '../wire/known.js';

const ETHERNET = 1;
/** Tags that are looked through behind a cooked header, as many as behind an Ethernet header. */
const MAX_TAGS = 2;
const TAG_BYTES = 4;

/** Finds the network layer; the answer stays in the fields until the next frame. */
export class FrameHints {
  /** Bits of KNOWN; 0 for Ethernet, whose header the engine walks. */
  known = 0;
  /** Offset of the network layer, when `known` names it. */
  l3 = 0;
  readonly #found = new Int32Array(2);

  /** Looks at the frame `bytes[start, end)`. */
  look(linkType: number, bytes: Uint8Array, start: number, end: number): void {
    this.known = 0;
    this.l3 = 0;
    if (linkType !== ETHERNET) this.#lookBehind(linkType, bytes, start, end);
  }

  #lookBehind(linkType: number, bytes: Uint8Array, start: number, end: number): void {
    networkLayer(linkType, bytes, start, end, this.#found);
    let [type, at] = this.#found;
    for (let tags = 0; tags < MAX_TAGS && (type === ETHERTYPE.VLAN || type === ETHERTYPE.QINQ); tags++) {
      // Behind the ethertype of a tag: two bytes of the tag, then the ethertype of what it holds.
      if (at + TAG_BYTES > end) break;
      type = (bytes[at + 2] << 8) | bytes[at + 3];
      at += TAG_BYTES;
    }
    this.l3 = at;
    if (type === ETHERTYPE.IPV4) this.known = KNOWN.L3_IPV4;
    else this.known = type === ETHERTYPE.IPV6 ? KNOWN.L3_IPV6 : KNOWN.L3_OTHER;
  }
}
