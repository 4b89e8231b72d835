/**
 * Logs of the program: starting and stopping, never a packet. JSON lines on standard error.
 *
 * Imports pino. Imported by the commands of cli/.
 */
import { type Logger, pino } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const STANDARD_ERROR = 2;

/** Writes at once, so that the lines are in order with whatever else goes to standard error. */
export function createLogger(level: LogLevel): Logger {
  return pino({ name: 'flowshard', level }, pino.destination({ fd: STANDARD_ERROR, sync: true }));
}
