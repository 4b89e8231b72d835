/**
 * flowshard as a library: re-exports of the public API, nothing else.
 */
export type { HelperName } from './alg/helpers.js';
export { dumpConnections } from './control/dump.js';
export type { ConnectionEntry, TcpPeer, Tuple } from './control/entry.js';
export {
  dumpExpectations,
  type ExpectationEntry,
  formatExpectation,
  type JsonExpectation,
  jsonExpectation,
} from './control/expectations.js';
export type { ConnectionFilter, TupleFilter } from './control/filter.js';
export { FilterError, parseFilter } from './control/filter-text.js';
export { flushConnections } from './control/flush.js';
export { type FormatOptions, formatConnection, protocolName } from './control/format.js';
export {
  type FamilyStatus,
  type FragmentStatus,
  formatFragmentStatus,
  fragmentStatus,
  type HeldDatagram,
  heldDatagrams,
} from './control/fragments.js';
export { formatConnectionJson, type JsonConnection, type JsonTuple, jsonConnection } from './control/json.js';
export { formatStatistics, type StatisticsFormat } from './control/statistics-text.js';
export { formatTopEntry } from './control/top.js';
export type { CtAction } from './engine/action.js';
export { PacketBatch, type PacketHints } from './engine/batch.js';
export { classCounts } from './engine/classes.js';
export type { Counters, EventName } from './engine/counters.js';
export { Engine } from './engine/engine.js';
export type { Family, FragmentSettings } from './engine/fragment-settings.js';
export type { Bucket, Quantiles } from './engine/histogram.js';
export { LocalEngine } from './engine/local.js';
export type { EmergencyEvent, EngineOptions, TableOptions, WorkerDeath } from './engine/options.js';
export { PACKET, PACKET_WORDS } from './engine/packet.js';
export type { FlowRules } from './engine/pipeline.js';
export { PROFILES, type ProfileName, type Rate, type TablePolicy, type ZonePolicy } from './engine/policy.js';
export type { Producer } from './engine/producer.js';
export type { ReleasedPackets } from './engine/released.js';
export type { Settings } from './engine/settings.js';
export type { ProtocolKind, Statistics } from './engine/statistics.js';
export type { SweepHistograms, SweepTimes } from './engine/sweep.js';
export type { TopBy, TopEntry, TopOf, TopQuery } from './engine/top.js';
export { FlowError } from './flows/index.js';
export type { NatAction } from './nat/spec.js';
export { REASON, REASON_COUNT, type ReasonName, reasonMeaning, reasonName } from './reason.js';
export { CLASS_NAMES, type ClassName } from './track/protocol.js';
export { CT, formatCtState } from './track/state.js';
export type { TcpState } from './track/tcp.js';
export { parseTimeouts, TIMEOUT, type TimeoutKey } from './track/timeouts.js';
export { KNOWN } from './wire/known.js';
