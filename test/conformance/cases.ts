/**
 * All cases.
 *
 * Imports the lists of cases.
 */
import { FIELD_CASES } from './field-cases.js';
import { FRAGMENT_CASES } from './fragment-cases.js';
import { GOLDEN_CASES } from './golden-cases.js';
import { HELPER_CASES } from './helper-cases.js';
import { RELATED_CASES } from './related-cases.js';
import { SETTING_CASES } from './setting-cases.js';
import { STATE_CASES } from './state-cases.js';
import { TRAFFIC_CASES } from './traffic-cases.js';
import { TRANSLATION_CASES } from './translation-cases.js';

const SMALL_CASES = [
  ...TRANSLATION_CASES,
  ...RELATED_CASES,
  ...STATE_CASES,
  ...FIELD_CASES,
  ...SETTING_CASES,
  ...TRAFFIC_CASES,
  ...FRAGMENT_CASES,
  ...HELPER_CASES,
];
export const CASES = [...SMALL_CASES, ...GOLDEN_CASES];
