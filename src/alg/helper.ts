/**
 * The shape that every application helper has, and what it may answer. The table of helpers is helpers.ts.
 *
 * A helper reads the packets of control connections, that is of connections that were committed with it, and says which
 * data connection they announce. It only reads: what follows from its answer, expectations and the rewriting of
 * addresses under NAT, is the same for all helpers and not its business.
 *
 * Imports nothing. Imported by alg/ and engine/.
 */

/** What a packet of a control connection says. */
export const SAYS = {
  /** Nothing that the helper looks for. */
  NOTHING: 0,
  /** It announces a data connection, as MESSAGE tells. */
  ANNOUNCES: 1,
  /** It begins like an announcement and cannot be read as one, perhaps because it goes on in the next segment. */
  MALFORMED: 2,
} as const;

const MESSAGE_FIELDS = [
  ['PORT', 'port that the data connection goes to, or CLIENT_PORT'],
  ['END', 'whose address the message names: END.NONE, END.CLIENT or END.SERVER; the other words need one'],
  ['AT', 'offset of the text of the address in the frame memory'],
  ['LENGTH', 'bytes of that text'],
  ['FORM', 'how it is written: FORM'],
  ['ADDRESS0', 'the address, four words as in FACT.SRC0 … FACT.SRC'],
  ['ADDRESS1', ''],
  ['ADDRESS2', ''],
  ['ADDRESS', ''],
] as const satisfies readonly (readonly [name: string, note: string])[];

export const MESSAGE_WORDS = MESSAGE_FIELDS.length;
export const MESSAGE = Object.fromEntries(MESSAGE_FIELDS.map(([name], word) => [name, word])) as Readonly<
  Record<(typeof MESSAGE_FIELDS)[number][0], number>
>;

/** Values of MESSAGE.END: the side that opened the control connection, or the other one. */
export const END = { NONE: 0, CLIENT: 1, SERVER: 2 } as const;

/** Values of MESSAGE.FORM. */
export const FORM = { COMMAS: 0, DOTS: 1, IPV6: 2 } as const;

/** In place of a port: the one that the control connection was opened from. */
export const CLIENT_PORT = -1;

export interface Helper<Name extends string = string> {
  /** What actions and rules call it by. */
  readonly name: Name;
  /** IP protocol of its control connections: TCP or UDP. */
  readonly protocol: number;
  /**
   * Reads the payload in [from, end) of `view`, and nothing outside of it.
   * @param message MESSAGE_WORDS words of the caller's, meant when the answer is ANNOUNCES
   * @returns one of SAYS
   */
  read(view: DataView, from: number, end: number, isIpv6: boolean, message: Int32Array): number;
}
