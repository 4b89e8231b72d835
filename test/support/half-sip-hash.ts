/**
 * HalfSipHash written down as it was published (Aumasson and Bernstein, "SipHash: a fast short-input PRF", and the
 * reference code's 32-bit variant). Slow and plain, in big integers.
 *
 * Imports nothing.
 */
const MASK = 0xffff_ffffn;

function rotate(word: bigint, bits: bigint): bigint {
  return ((word << bits) | (word >> (32n - bits))) & MASK;
}

/** Four bytes from `at` on, the least significant first; what is not there is zero. */
function wordAt(bytes: Uint8Array, at: number): bigint {
  return [0, 1, 2, 3].reduce((sum, byte) => sum | (BigInt(bytes[at + byte] ?? 0) << BigInt(8 * byte)), 0n);
}

/** HalfSipHash-c-d of bytes under a key of eight bytes, 32 bits of output. */
export function halfSipHash(c: number, d: number, key: Uint8Array, message: Uint8Array): number {
  const whole = message.length - (message.length % 4);
  const words = Array.from({ length: whole / 4 }, (_, index) => wordAt(message, index * 4));
  const last = wordAt(message.subarray(whole), 0) | (BigInt(message.length & 0xff) << 24n);
  return halfSipHashOfBlocks(c, d, key, [...words, last]);
}

/** The same of blocks of 32 bits as they are, where the length is nothing that has to be told apart. */
export function halfSipHashOfBlocks(c: number, d: number, key: Uint8Array, blocks: readonly bigint[]): number {
  const [k0, k1] = [wordAt(key, 0), wordAt(key, 4)];
  const v = [k0, k1, 0x6c796765n ^ k0, 0x74656462n ^ k1];
  const rounds = (count: number) => {
    for (let round = 0; round < count; round++) {
      v[0] = (v[0] + v[1]) & MASK;
      v[1] = rotate(v[1], 5n) ^ v[0];
      v[0] = rotate(v[0], 16n);
      v[2] = (v[2] + v[3]) & MASK;
      v[3] = rotate(v[3], 8n) ^ v[2];
      v[0] = (v[0] + v[3]) & MASK;
      v[3] = rotate(v[3], 7n) ^ v[0];
      v[2] = (v[2] + v[1]) & MASK;
      v[1] = rotate(v[1], 13n) ^ v[2];
      v[2] = rotate(v[2], 16n);
    }
  };
  for (const block of blocks) {
    v[3] ^= block;
    rounds(c);
    v[0] ^= block;
  }
  v[2] ^= 0xffn;
  rounds(d);
  return Number(v[1] ^ v[3]) | 0;
}
