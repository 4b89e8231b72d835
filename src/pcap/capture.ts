/**
 * What the two capture formats have in common: the error, the limit on one record, and the shape of a decoder.
 *
 * The bottom of pcap/: it imports nothing, every other file of the folder may import it. Callers outside the folder
 * get what they need of it from reader.ts.
 */

/**
 * Most captured bytes of a classic record, and most bytes of a pcapng block. Far above any frame (the largest offloaded
 * packets have 512 KiB), and the limit Wireshark sets as well; a length beyond it is damage, not a packet.
 */
export const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/**
 * The capture is damaged, cut short or not a capture.
 *
 * `byteOffset` counts from the start of the stream and is the first byte of the record or block at fault, so everything
 * before it has been delivered. The message is one line and ends with `at byte N`.
 */
export class CaptureError extends Error {
  readonly byteOffset: number;

  constructor(what: string, byteOffset: number) {
    super(`${what} at byte ${byteOffset}`);
    this.name = 'CaptureError';
    this.byteOffset = byteOffset;
  }
}

/** An interface the capture was taken on. Classic captures have exactly one, without a name. */
export interface CaptureInterface {
  readonly name: string | undefined;
  readonly linkType: number;
}

/** Where a decoder leaves what it found. Implemented by CaptureReader, whose documentation gives the meanings. */
export interface PacketFields {
  frameStart: number;
  frameEnd: number;
  originalLength: number;
  timeMs: number;
  interfaceId: number;
  linkType: number;
}

/** One capture format. */
export interface CaptureDecoder {
  readonly interfaces: readonly CaptureInterface[];

  /**
   * Moves the source past the next packet and fills in `packet`; false at a clean end.
   * @throws CaptureError at a fault, with the source left where the fault is, so that asking again fails again.
   */
  next(packet: PacketFields): boolean;
}
