/**
 * The parts of the first pass: parsing frames and hashing keys.
 *
 * Imports chunk, part, traffic, engine/packet, flood/, wire/. Imported by parts.
 */

import { PACKET_WORDS } from '../src/engine/packet.js';
import { Random } from '../src/flood/random.js';
import { createTemplate, type TemplateOptions } from '../src/flood/template.js';
import { REASON } from '../src/reason.js';
import { FACT, FACT_WORDS } from '../src/wire/facts.js';
import { hashKey } from '../src/wire/hash.js';
import { KNOWN } from '../src/wire/known.js';
import { parseFrame } from '../src/wire/parse.js';
import { PARSE_PLACE, PLAIN_FUNCTIONS, prepareScan } from '../src/wire/plain.js';
import { createRows, MAX_BATCH, ROW_REASON, ROW_WORDS, ROWS_BYTES } from '../src/wire/rows.js';
import { bind, compileFunctions, createWasmMemory, growMemory } from '../src/wire/wasm.js';
import { Chunk, STATE } from './chunk.js';
import type { Part } from './part.js';
import { SEGMENT, UDP4, UDP6 } from './traffic.js';

const FRAMES = 1024;
/** Rows of facts that calls write in turn: as many as the engine has. */
const ROW_MASK = 63;
const FLOWS = 1_000_000;
const TCP_HEADER_BYTES = 20;
const { L4_CHECKSUM_GOOD } = KNOWN;

/** Timestamps (RFC 7323), aligned with two NOPs as stacks do. */
const TIMESTAMPS = [1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7];
const TCP_WITH_OPTIONS: TemplateOptions = { family: 4, protocol: 'tcp', payload: 0, options: TIMESTAMPS };

/** Frames of flows picked at random. */
function frames(options: TemplateOptions, random: Random): Chunk {
  const chunk = new Chunk(createWasmMemory(0), [createTemplate(options)], 0, FRAMES);
  for (let slot = 0; slot < FRAMES; slot++) {
    chunk.write(slot, random.below(FLOWS), STATE.NEW, random.u32(), random.u32());
  }
  return chunk;
}

/** Bytes of a row of a chunk, which begins with a span. */
const PACKET_BYTES = PACKET_WORDS * Int32Array.BYTES_PER_ELEMENT;

const plainModule = compileFunctions(PLAIN_FUNCTIONS);

type Parse = (view: DataView, start: number, end: number, known: number, facts: Int32Array, base: number) => number;

const parseAny: Parse = (view, start, end, known, facts, base) => parseFrame(view, start, end, known, 0, facts, base);
/** The fast path takes the frames of a batch in one call. @throws Error, from the call, when a frame is refused */
function parseFastPart(what: string, chunk: Chunk, known: number, bytesEach?: number): Part {
  const name = `parse ${FRAMES} ${what}`;
  const { packets, view, memory } = chunk;
  const rows = createRows(memory.wasm, growMemory(memory.wasm, ROWS_BYTES));
  prepareScan(rows.words);
  const parse = bind(plainModule, memory.wasm)[PARSE_PLACE];
  return {
    name,
    packets: FRAMES,
    ...(bytesEach === undefined ? {} : { bytes: bytesEach * FRAMES }),
    prepare() {
      chunk.declare(known);
    },
    run() {
      let sum = 0;
      for (let slot = 0; slot < FRAMES; slot += MAX_BATCH) {
        const spansAt = packets.byteOffset + slot * PACKET_BYTES;
        parse(rows.at, MAX_BATCH, spansAt, PACKET_BYTES, view.byteOffset, view.byteLength, 1, 2);
        for (let row = 0; row < MAX_BATCH * ROW_WORDS; row += ROW_WORDS) {
          if (rows.words[row + ROW_REASON] !== REASON.none) throw new Error(`${name}: a frame was refused`);
          sum ^= rows.words[row + FACT.PORTS];
        }
      }
      return sum;
    },
  };
}

/** @throws Error, from the call, when a frame is refused */
function parsePart(parse: Parse, what: string, chunk: Chunk, known: number, bytesEach?: number): Part {
  const name = `parse ${FRAMES} ${what}`;
  const { view, stride } = chunk;
  const length = chunk.template(0).bytes.length;
  const facts = new Int32Array((ROW_MASK + 1) * FACT_WORDS);
  return {
    name,
    packets: FRAMES,
    ...(bytesEach === undefined ? {} : { bytes: bytesEach * FRAMES }),
    run() {
      let refused = 0;
      let sum = 0;
      for (let slot = 0; slot < FRAMES; slot++) {
        const start = slot * stride;
        const base = (slot & ROW_MASK) * FACT_WORDS;
        if (parse(view, start, start + length, known, facts, base) !== REASON.none) refused++;
        sum ^= facts[base + FACT.PORTS];
      }
      if (refused > 0) throw new Error(`${name}: ${refused} frames were refused`);
      return sum;
    },
  };
}

export function parseParts(seed: number): readonly Part[] {
  const random = new Random(seed);
  const udp4 = frames(UDP4, random);
  const udp6 = frames(UDP6, random);
  const tcp = frames(TCP_WITH_OPTIONS, random);
  const vlan = frames({ ...UDP4, isTagged: true }, random);
  const segments = frames(SEGMENT, random);
  const summed = SEGMENT.payload + TCP_HEADER_BYTES;
  const declared = L4_CHECKSUM_GOOD;
  return [
    parseFastPart('UDP frames of 64 bytes on the fast path, L4 sum declared', udp4, declared),
    parseFastPart('UDP frames of 64 bytes on the fast path, all sums verified', udp4, 0),
    parsePart(parseAny, 'UDP frames of 64 bytes, L4 sum declared', udp4, declared),
    parsePart(parseAny, 'UDP frames of 64 bytes, all sums verified', udp4, 0),
    parsePart(parseAny, 'TCP frames with timestamps, L4 sum declared', tcp, declared),
    parsePart(parseAny, 'UDP over IPv6 frames of 64 bytes, L4 sum declared', udp6, declared),
    parsePart(parseAny, 'UDP frames of 68 bytes with a VLAN tag, L4 sum declared', vlan, declared),
    parseFastPart('TCP segments of 1460 bytes on the fast path, all verified', segments, 0, summed),
    parsePart(parseAny, 'TCP segments of 1460 bytes, all sums verified', segments, 0, summed),
  ];
}

function hashPart(what: string, chunk: Chunk, random: Random): Part {
  const { view, stride } = chunk;
  const length = chunk.template(0).bytes.length;
  const facts = new Int32Array(FRAMES * FACT_WORDS);
  const key0 = random.u32() | 0;
  const key1 = random.u32() | 0;
  for (let slot = 0; slot < FRAMES; slot++) {
    const start = slot * stride;
    const reason = parseFrame(view, start, start + length, 0, 0, facts, slot * FACT_WORDS);
    if (reason !== REASON.none) throw new Error(`${what}: a frame was refused`);
  }
  return {
    name: `hash ${FRAMES} ${what}`,
    packets: FRAMES,
    run() {
      let sum = 0;
      for (let slot = 0; slot < FRAMES; slot++) {
        const base = slot * FACT_WORDS;
        hashKey(facts, base, key0, key1);
        sum ^= facts[base + FACT.HASH];
      }
      return sum;
    },
  };
}

export function hashParts(seed: number): readonly Part[] {
  const random = new Random(seed);
  return [
    hashPart('keys of IPv4 packets', frames(UDP4, random), random),
    hashPart('keys of IPv6 packets', frames(UDP6, random), random),
  ];
}
