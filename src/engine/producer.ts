/**
 * The feeding side: steers packets to the shards' rings and hands the verdicts back in the order of the packets.
 *
 * Steering parses each frame just far enough for its key, leaves all checksums to the shard, and tells it where the
 * network layer begins. Both directions of a connection, and the ICMP errors about it, come to the same shard; fragments
 * are steered by their addresses alone, so all of a datagram come to one that holds them.
 *
 * Frames are copied into the part of the frame memory that belongs to the shard's ring; or they lie in the arena, which
 * belongs to the caller, and are judged there.
 *
 * One thread at a time. Imports lane, packet, ring, wire/. Imported by engine.ts and the public API.
 */
import { REASON } from '../reason.js';
import { i32any, setI32any, setU8, u8 } from '../wire/bytes.js';
import { FACT, FACT_WORDS, FAMILY_IPV6 } from '../wire/facts.js';
import { isFragmentReason } from '../wire/fragment.js';
import { hashKey, partOf } from '../wire/hash.js';
import { KNOWN } from '../wire/known.js';
import { parseFrame } from '../wire/parse.js';
import {
  createLane,
  fillReserved,
  hasVerdict,
  type Lane,
  publishFilled,
  reserveFrame,
  reserveSlot,
  takeBack,
} from './lane.js';
import { FRAME_TAIL, PACKET, PACKET_WORDS } from './packet.js';
import { processed, processedArrival, type Ring, type RingHandle, waitForProcessed } from './ring.js';

const { FRAME_OFFSET, FRAME_LENGTH, FRAME_ROOM, INPUT, L3_OFFSET, TIME, ACTION, COOKIE, STATE, ZONE } = PACKET;
const L3_IP = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
const L3_NAMED = L3_IP | KNOWN.L3_OTHER;

/**
 * A longer frame is cut: an IP packet is 64 KiB at the most, and OVS refuses one with as much padding behind it, so
 * that the rest cannot change the verdict.
 */
const MAX_FRAME = 256 * 1024;
/** Length of a frame that lies outside of its memory: the shard refuses it. */
const OUTSIDE = -1;
/** Frames up to this many bytes are copied by hand. */
const SHORT_FRAME = 256;

/**
 * Copies the frame in [start, end) to `offset` of a ring. Short ones word by word: the subarray that set() needs costs
 * more than their copy. Four words at a time, 64 bytes take 13 ns instead of 25.
 */
function copyFrame(bytes: Uint8Array, view: DataView, start: number, end: number, ring: Ring, offset: number): void {
  if (end - start > SHORT_FRAME) {
    ring.bytes.set(bytes.subarray(start, end), offset);
    return;
  }
  const to = ring.frames;
  const distance = offset - start;
  let at = start;
  for (; at + 16 <= end; at += 16) {
    setI32any(to, at + distance, i32any(view, at));
    setI32any(to, at + distance + 4, i32any(view, at + 4));
    setI32any(to, at + distance + 8, i32any(view, at + 8));
    setI32any(to, at + distance + 12, i32any(view, at + 12));
  }
  for (; at < end; at++) setU8(to, at + distance, u8(view, at));
}

/** Bytes of the frame that go to the shard; OUTSIDE when it does not lie in its memory. */
function lengthOf(view: DataView, start: number, end: number, known: number, l3: number): number {
  const isInside = start >= 0 && end >= start && end <= view.byteLength && ((known & L3_IP) === 0 || l3 >= start);
  return isInside ? Math.min(end - start, MAX_FRAME) : OUTSIDE;
}

export class Producer {
  readonly #lanes: readonly Lane[];
  readonly #key0: number;
  readonly #key1: number;
  readonly #facts = new Int32Array(FACT_WORDS);
  /** The shard of each packet that is under way, in order, as a ring of a power of two. */
  readonly #order: Uint16Array;
  #first = 0;
  #count = 0;
  /** The shard of the packet at hand: as steering has found it, or tryReserve() was told. */
  #shard = 0;
  /** The shard that had the last turn at a frame that belongs to none, and whose turn it is once that is pushed. */
  #turn = 0;
  #nextTurn = 0;
  /** What steering found out about a frame: bits of KNOWN to add, and the network layer's offset. */
  #learned = 0;
  #l3 = 0;
  /** The ring of the packet that peek() found. */
  #current: Lane | undefined;
  /** The frame that was steered last is a fragment; so was the one that was pushed last. */
  #isFragment = false;
  #wasFragment = false;
  /**
   * With several shards a fragment is alone under way: its datagram may belong to a connection whose other packets go to
   * another shard. Without that they may overtake one another, as packets of different connections do.
   */
  keepsFragmentsInOrder = true;

  /** Frame memory of the caller's own, for tryPushInPlace(). */
  readonly arena: Uint8Array;
  readonly #arenaView: DataView;
  /** Where the arena begins in the frame memory. */
  readonly #arenaAt: number;

  /** @param arenaAt where in the frame memory that all rings share the arena begins; it is the rest. Default: none */
  constructor(rings: readonly RingHandle[], key0: number, key1: number, arenaAt = rings[0].frames.bytes) {
    this.#lanes = rings.map(createLane);
    const capacity = this.#lanes.reduce((sum, lane) => sum + lane.ring.capacity, 0);
    this.#order = new Uint16Array(2 ** Math.ceil(Math.log2(capacity)));
    this.#key0 = key0;
    this.#key1 = key1;
    this.arena = this.#lanes[0].ring.bytes.subarray(arenaAt);
    this.#arenaAt = arenaAt;
    this.#arenaView = new DataView(this.arena.buffer, this.arena.byteOffset, this.arena.length);
  }

  /** Packets pushed whose verdicts have not been released. */
  get pending(): number {
    return this.#count;
  }

  /**
   * Copies a frame into the ring of its shard. Nothing is judged before publish().
   *
   * @param bytes memory that holds the frame, with a DataView on the same memory in `view`
   * @param known bits of KNOWN
   * @param l3 offset of the network layer in `bytes`, read only when `known` names it
   * @param room bytes by which the frame may become longer; FRAME_TAIL at the most
   *
   * A frame that lies outside of `bytes` is pushed without its bytes, for its verdict.
   * @returns false when that shard's ring is full, or a fragment has to wait for its turn: read verdicts and release()
   *   them first
   */
  tryPush(
    bytes: Uint8Array,
    view: DataView,
    start: number,
    end: number,
    known: number,
    l3: number,
    timeMs: number,
    action: number,
    cookie: number,
    room = FRAME_TAIL,
  ): boolean {
    const length = lengthOf(view, start, end, known, l3);
    if (!this.#steer(view, start, length, known, l3)) return false;
    const offset = this.tryReserve(this.#shard, Math.max(length, 0));
    if (offset < 0) return false;
    copyFrame(bytes, view, start, start + length, this.#lanes[this.#shard].ring, offset);
    this.#fill(offset, length, known | this.#learned, this.#l3 - start + offset, timeMs, action, cookie, room);
    this.#noteTurn();
    return true;
  }

  /**
   * The same for a frame that lies in `arena`, where it is judged: it must stay there until its verdict is released. It
   * cannot become longer.
   */
  tryPushInPlace(
    start: number,
    end: number,
    known: number,
    l3: number,
    timeMs: number,
    action: number,
    cookie: number,
  ): boolean {
    const length = lengthOf(this.#arenaView, start, end, known, l3);
    if (!this.#steer(this.#arenaView, start, length, known, l3)) return false;
    if (!reserveSlot(this.#lanes[this.#shard])) return false;
    const at = this.#arenaAt;
    this.#fill(at + start, length, known | this.#learned, at + this.#l3, timeMs, action, cookie, 0);
    this.#noteTurn();
    return true;
  }

  /** Whether the frame that was steered last has to wait until it is alone, since it or the one before is a fragment. */
  #isFenced(): boolean {
    return this.keepsFragmentsInOrder && (this.#isFragment || this.#wasFragment) && this.#count > 0;
  }

  /** The frame that was steered last is pushed. */
  #noteTurn(): void {
    this.#turn = this.#nextTurn;
    this.#wasFragment = this.#isFragment;
  }

  /**
   * Room for a frame in the ring of a shard, to be written there in place: in `reservedFrames` from the byte on that is
   * returned. Then pushReserved() makes it a packet; without that the room is as free as it was.
   *
   * The caller decides on the shard: packets of one connection have to go to the same one to stay in their order, the
   * verdicts do not depend on it.
   * @param length bytes, 256 KiB at the most
   * @returns -1 when that ring is full: read verdicts and release() them first
   */
  tryReserve(shard: number, length: number): number {
    this.#shard = shard;
    return reserveFrame(this.#lanes[shard], length);
  }

  /** The frame memory in which tryReserve() has found room. */
  get reservedFrames(): DataView {
    return this.#lanes[this.#shard].ring.frames;
  }

  /**
   * Makes the reserved room a packet, as tryPush() does.
   * @param l3 offset of the network layer in `reservedFrames`, read only when `known` names it
   */
  pushReserved(
    length: number,
    known: number,
    l3: number,
    timeMs: number,
    action: number,
    cookie: number,
    room = FRAME_TAIL,
  ): void {
    const offset = this.#lanes[this.#shard].reservedAt;
    this.#fill(offset, length, known, l3, timeMs, action, cookie, room);
  }

  /** Writes the row of the slot that was reserved. */
  #fill(
    offset: number,
    length: number,
    known: number,
    l3: number,
    timeMs: number,
    action: number,
    cookie: number,
    room: number,
  ): void {
    const lane = this.#lanes[this.#shard];
    const { packets, times } = lane.ring;
    const at = (lane.filled & (lane.ring.capacity - 1)) * PACKET_WORDS;
    packets[at + FRAME_OFFSET] = offset;
    packets[at + FRAME_LENGTH] = length;
    packets[at + INPUT] = known;
    packets[at + L3_OFFSET] = l3;
    times[(at + TIME) >>> 1] = timeMs;
    packets[at + ACTION] = action;
    packets[at + COOKIE] = cookie;
    packets[at + FRAME_ROOM] = Math.min(room, FRAME_TAIL);
    packets[at + STATE] = 0;
    packets[at + ZONE] = 0;
    fillReserved(lane);
    this.#order[(this.#first + this.#count++) & (this.#order.length - 1)] = this.#shard;
  }

  /**
   * Finds the shard of a frame. Where there is one only, there is nothing to find, and this is short enough for V8 to
   * compile it with its callers.
   * @returns false when the frame has to wait until it is alone
   */
  #steer(view: DataView, start: number, length: number, known: number, l3: number): boolean {
    this.#l3 = l3;
    if (this.#lanes.length === 1) return true;
    this.#shard = this.#shardOf(view, start, length, known, l3);
    return !this.#isFenced();
  }

  #shardOf(view: DataView, start: number, length: number, known: number, l3: number): number {
    this.#learned = 0;
    this.#nextTurn = this.#turn;
    this.#isFragment = false;
    const facts = this.#facts;
    const bits = length === OUTSIDE ? KNOWN.L3_OTHER : known;
    const reason = parseFrame(view, start, start + Math.max(length, 0), bits | KNOWN.NO_CHECKSUMS, l3, facts, 0);
    if (reason !== REASON.none) return this.#shardOfUnkeyed(reason);
    if ((bits & L3_NAMED) === 0) {
      this.#learned = (facts[FACT.PROTOCOL] & FAMILY_IPV6) !== 0 ? KNOWN.L3_IPV6 : KNOWN.L3_IPV4;
      this.#l3 = facts[FACT.L3];
    }
    hashKey(facts, 0, this.#key0, this.#key1);
    return partOf(facts[FACT.HASH], this.#lanes.length);
  }

  /** A fragment goes by its addresses; a packet without a key goes to each shard in turn. */
  #shardOfUnkeyed(reason: number): number {
    if (isFragmentReason(reason)) {
      this.#isFragment = true;
      const facts = this.#facts;
      facts[FACT.PORTS] = 0;
      facts[FACT.PORTS_REVERSED] = 0;
      facts[FACT.PROTOCOL] &= FAMILY_IPV6;
      hashKey(facts, 0, this.#key0, this.#key1);
      return partOf(facts[FACT.HASH], this.#lanes.length);
    }
    this.#nextTurn = (this.#turn + 1) % this.#lanes.length;
    return this.#nextTurn;
  }

  /** Hands all pushed packets to their shards. */
  publish(): void {
    for (const lane of this.#lanes) publishFilled(lane);
  }

  /**
   * The oldest packet that was pushed, if its verdict is there: read it in `verdicts` at the word that is returned, and
   * its frame in `frameBytes`; both are valid until release().
   * @returns -1 when there is no packet or its verdict is not there yet
   */
  peek(): number {
    if (this.#count === 0) return -1;
    const lane = this.#lanes[this.#order[this.#first]];
    if (!hasVerdict(lane)) return -1;
    this.#current = lane;
    return (lane.released & (lane.ring.capacity - 1)) * PACKET_WORDS;
  }

  /** Memory of the packet that peek() found. */
  get verdicts(): Int32Array {
    return this.#currentLane().ring.packets;
  }

  get frameBytes(): Uint8Array {
    return this.#currentLane().ring.bytes;
  }

  /** The shard that judged the packet that peek() found. */
  get shard(): number {
    return this.#order[this.#first];
  }

  #currentLane(): Lane {
    if (this.#current === undefined) throw new Error('peek() has not found a packet');
    return this.#current;
  }

  /** Gives the slot of the packet that peek() found back. */
  release(): void {
    takeBack(this.#currentLane());
    this.#first = (this.#first + 1) & (this.#order.length - 1);
    this.#count--;
    this.#current = undefined;
  }

  /** Blocks until the verdict of the oldest packet may be there, for `ms` milliseconds at the most. */
  waitForVerdict(ms: number): void {
    const lane = this.#waitingLane();
    if (lane !== undefined) waitForProcessed(lane.ring, lane.released, ms);
  }

  /** The same without blocking the thread. */
  async verdictArrival(ms: number): Promise<void> {
    const lane = this.#waitingLane();
    if (lane !== undefined) await processedArrival(lane.ring, lane.released, ms);
  }

  /** The ring of the oldest packet, if its verdict is not there: all its verdicts so far are then released. */
  #waitingLane(): Lane | undefined {
    if (this.#count === 0) return undefined;
    const lane = this.#lanes[this.#order[this.#first]];
    return processed(lane.ring) === lane.released ? lane : undefined;
  }
}
