/**
 * The flow tables as one door: what the engine's side, cli/ and the public API use of them.
 *
 * Imports the other files of flows/.
 */
export {
  CT_OUTCOME,
  CT_PARAMETER,
  CT_PARAMETER_WORDS,
  type CtSpec,
  type FlowContext,
  type NatSpec,
} from './context.js';
export { FlowError } from './error.js';
export { type FlowRule, type FlowTable, type FlowTextOptions, parseFlows } from './parse.js';
export { PORT, type PortNames } from './ports.js';
export { FLOW_REASONS, type FlowMachine, loadFlows, runFlows } from './run.js';
export { SUPPORTED } from './supported.js';
export { FLOW_OUTCOME } from './translate.js';
