/**
 * TFTP (RFC 1350): the server answers from a port of its own choice to the one that the client asked from.
 *
 * As in Open vSwitch every packet announces that, whatever it says.
 *
 * Imports helper, wire/facts. Imported by alg/helpers.
 */
import { IPPROTO } from '../wire/facts.js';
import { CLIENT_PORT, END, type Helper, MESSAGE, SAYS } from './helper.js';

export const tftp: Helper<'tftp'> = {
  name: 'tftp',
  protocol: IPPROTO.UDP,

  read(_view, _from, _end, _isIpv6, message) {
    message[MESSAGE.PORT] = CLIENT_PORT;
    message[MESSAGE.END] = END.NONE;
    return SAYS.ANNOUNCES;
  },
};
