/**
 * Datagrams and pairs of addresses are told apart by all of their key, also where hashes are the same: those of the
 * engine are keyed, and seldom are. What is in a key is as in OVS `ipf_list_key_eq()`, whose recirc_id is the pass here.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PACKET_WORDS } from '../../src/engine/packet.js';
import { findDatagram, findPair, openDatagram } from '../../src/fragment/datagrams.js';
import { createFragmentStore, NONE } from '../../src/fragment/layout.js';
import { FACT, FACT_WORDS, FAMILY_IPV6, IPPROTO } from '../../src/wire/facts.js';

const ZONE = 5;
const PASS = 1;
const PAIR_HASH = 77;

/** Facts of a fragment from 10.0.0.1 to 10.0.0.2, or from ::10.0.0.1 to ::10.0.0.2. */
function factsOf(family = 0): Int32Array {
  const facts = new Int32Array(FACT_WORDS);
  facts[FACT.SRC] = 0x0a000001;
  facts[FACT.DST] = 0x0a000002;
  facts[FACT.PORTS] = 0x4321;
  facts[FACT.PROTOCOL] = IPPROTO.UDP | family;
  facts[FACT.HASH] = 99;
  return facts;
}

test('every word of its key tells a datagram from others', () => {
  const store = createFragmentStore(1 << 16, PACKET_WORDS);
  const facts = factsOf(FAMILY_IPV6);
  const datagram = openDatagram(store, facts, 0, ZONE, PASS, Float64Array.of(0), PAIR_HASH);
  assert.equal(findDatagram(store, facts, 0, ZONE, PASS), datagram);
  assert.equal(findDatagram(store, facts, 0, ZONE + 1, PASS), NONE);
  assert.equal(findDatagram(store, facts, 0, ZONE, PASS - 1), NONE);
  assert.equal(findDatagram(store, factsOf(), 0, ZONE, PASS), NONE, 'the family');
  for (const word of [0, 1, 2, 3, 4, 5, 6, 7, FACT.PORTS, FACT.PROTOCOL]) {
    const other = Int32Array.from(facts);
    other[word] ^= 1;
    assert.equal(findDatagram(store, other, 0, ZONE, PASS), NONE, `word ${word}`);
  }
});

test('a pair of addresses over IPv4 is another one than the same bits over IPv6', () => {
  const store = createFragmentStore(1 << 16, PACKET_WORDS);
  const [four, six] = [factsOf(), factsOf(FAMILY_IPV6)];
  const now = Float64Array.of(0);
  openDatagram(store, four, 0, ZONE, PASS, now, PAIR_HASH);
  const pair = findPair(store, four, 0, PAIR_HASH);
  assert.notEqual(pair, NONE);
  assert.equal(findPair(store, six, 0, PAIR_HASH), NONE);
  openDatagram(store, six, 0, ZONE, PASS, now, PAIR_HASH);
  assert.notEqual(findPair(store, six, 0, PAIR_HASH), pair);
  assert.equal(findPair(store, four, 0, PAIR_HASH), pair);
  four[FACT.PROTOCOL] = IPPROTO.TCP;
  assert.equal(findPair(store, four, 0, PAIR_HASH), pair, 'the protocol is not part of it');
  for (let word = 0; word < 8; word++) {
    const other = Int32Array.from(six);
    other[word] ^= 1;
    assert.equal(findPair(store, other, 0, PAIR_HASH), NONE, `word ${word}`);
  }
});
