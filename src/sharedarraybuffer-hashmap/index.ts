/**
 * What sharedarraybuffer-hashmap offers. Start reading at map.ts.
 */
export {
  BUCKET_MIX,
  CHOICES,
  enterLocked,
  firstCandidateLocked,
  homeBucketAt,
  insertInSlotLocked,
  insertLocked,
  isLive,
  leaveLocked,
  MAX_PROBES,
  NO_SLOT,
  newSlotLocked,
  nextCandidateLocked,
  recordInSlot,
  removeLocked,
  TAG_MIX,
} from './buckets.js';
export { BUCKET_WORDS, LINE_WORDS, RECORD, REGION } from './layout.js';
export { firstOfListLocked, joinListLocked, leaveListLocked, nextOfListLocked } from './list.js';
export {
  breakLocks,
  lockFreeRegion,
  lockOwner,
  lockRegion,
  renewLocks,
  tryLockRegion,
  unlockRegion,
} from './lock.js';
export {
  annexAt,
  attachMap,
  createMap,
  type MapOptions,
  mapBytes,
  recordAt,
  regionAt,
  regionOfRecord,
  type SharedMap,
  touchMap,
} from './map.js';
export { rebuildLocked } from './repair.js';
export {
  annexesUsedLocked,
  giveAnnexLocked,
  giveRecordLocked,
  NONE,
  nextRecordLocked,
  recordsUsedLocked,
  takeAnnexLocked,
  takeRecordLocked,
} from './slab.js';
