/** What the program under watch prints around the packets that count. */
export const STEADY_WARM = 'steady: warm';
export const STEADY_BEGINS = 'steady: begins';
export const STEADY_ENDS = 'steady: ends';
