/**
 * Where tuples begin in a table: what somebody who watches how long packets take finds out, about those he has sent.
 *
 * Imports engine/, sharedarraybuffer-hashmap, wire/. Imported by run.
 */

import { CONTROL, type EngineMemory } from '../engine/memory.js';
import { homeBucketAt } from '../sharedarraybuffer-hashmap/index.js';
import { FACT, FACT_WORDS, FAMILY_IPV6, IPPROTO, mirrorPorts } from '../wire/facts.js';
import { hashKey, partOf } from '../wire/hash.js';
import type { Family } from './template.js';

/** The first word of the addresses of templates over IPv6: 2001:db8::. */
const IPV6_PREFIX = 0x20010db8;

/** @returns a function from the ends of a UDP packet in zone 0 to the place where a lookup of it begins */
export function watchedHomes(
  memory: EngineMemory,
  family: Family,
): (src: number, dst: number, ports: number) => number {
  const { map, control } = memory;
  const facts = new Int32Array(FACT_WORDS);
  if (family === 6) {
    facts[FACT.SRC0] = IPV6_PREFIX;
    facts[FACT.DST0] = IPV6_PREFIX;
  }
  facts[FACT.PROTOCOL] = IPPROTO.UDP | (family === 6 ? FAMILY_IPV6 : 0);
  return (src, dst, ports) => {
    facts[FACT.SRC] = src;
    facts[FACT.DST] = dst;
    facts[FACT.PORTS] = ports;
    facts[FACT.PORTS_REVERSED] = mirrorPorts(IPPROTO.UDP, ports);
    hashKey(facts, 0, control[CONTROL.KEY0], control[CONTROL.KEY1]);
    // Zone 0 leaves the hash as it is.
    return homeBucketAt(map, partOf(facts[FACT.HASH], map.regions), facts[FACT.HASH]);
  };
}
