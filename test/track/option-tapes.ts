/**
 * TCP options of odd shapes in a SYN: the window scale that OVS finds among them (`tcp_get_wscale()`; the format is
 * RFC 9293 section 3.1 and RFC 7323 section 2.2). Played to Open vSwitch 3.1.0 and 4.0.90.
 */
import { type Tape, tcpTape } from './tape.js';

const MSS = [2, 4, 5, 180];
const TIMESTAMPS = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
const SACK_PERMITTED = [4, 2];

function nops(count: number): number[] {
  return new Array<number>(count).fill(1);
}

/** The scale that is found; undefined: none offered. */
const CASES: readonly (readonly [name: string, options: readonly number[], scale: number | undefined])[] = [
  ['none', [], undefined],
  ['the scale alone', [3, 3, 7, 0], 7],
  ['behind a NOP', [1, 3, 3, 7], 7],
  ['as Linux sends it', [...MSS, ...SACK_PERMITTED, ...TIMESTAMPS, 1, 3, 3, 10], 10],
  ['behind timestamps', [...TIMESTAMPS, 3, 3, 4, 0, 0, 0], 4],
  ['behind the end of the list', [0, 3, 3, 7], undefined],
  ['cut off behind its length', [1, 1, 3, 3], undefined],
  ['cut off behind its kind', [1, 1, 1, 3], undefined],
  ['a length of 0 counts as 2', [3, 0, 7, 0], 7],
  ['a length of 1 counts as 2', [3, 1, 9, 1, 3, 3, 2, 1], 2],
  ['twice: the last one counts', [3, 3, 7, 3, 3, 2, 1, 1], 2],
  ['behind an option of length 0', [2, 0, 3, 3, 7, 0, 0, 0], 7],
  ['behind an option of length 1', [2, 1, 3, 3, 7, 0, 0, 0], 7],
  ['behind an option that runs beyond the header', [2, 40, 5, 180, 1, 3, 3, 7], undefined],
  ['behind an option of length 255', [5, 255, 3, 3, 7, 0, 0, 0], undefined],
  ['behind an unknown option', [254, 5, 3, 3, 7, 3, 3, 8], 8],
  ['a scale of 0', [3, 3, 0, 0], 0],
  ['a scale of 14', [3, 3, 14, 0], 14],
  ['a scale of 15', [3, 3, 15, 0], 14],
  ['a scale of 255', [3, 3, 255, 0], 14],
  ['a length of 255', [3, 255, 5, 0], 5],
  ['the last three of forty bytes', [...nops(37), 3, 3, 6], 6],
  ['the last two of forty bytes', [...nops(38), 3, 3], undefined],
  ['forty NOPs', nops(40), undefined],
];

function peers(scale: number | undefined): string {
  if (scale === undefined) return 'SYN_SENT CLOSED flags_orig=0,flags_reply=0';
  const scales = scale === 0 ? '' : `wscale_orig=${scale},wscale_reply=0,`;
  return `SYN_SENT CLOSED ${scales}flags_orig=WINDOW_SCALE,flags_reply=0`;
}

export const OPTION_TAPES: readonly Tape[] = [
  ...CASES.map(([name, options, scale]) =>
    // Three bytes of data behind the header look like a scale, if somebody reads on.
    tcpTape(name, 'OVS', [[0, 'orig', 'S', { options, length: 3 }, 'new|trk', peers(scale)]]),
  ),
  tcpTape('an ACK offers none', 'RFC 7323 2.2', [
    [
      0,
      'orig',
      'A',
      { options: [3, 3, 7, 0] },
      'new|trk',
      'SYN_SENT CLOSED flags_orig=BE_LIBERAL,flags_reply=BE_LIBERAL',
    ],
  ]),
];
