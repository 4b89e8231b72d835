/**
 * Telling the caller's listeners of what happens to an engine. One that throws must not hurt the engine, nor go unnoticed.
 *
 * Imports nothing. Imported by crew.ts and engine.ts.
 */

/** Calls a listener; what it throws becomes a warning of the process. */
export function tell<Event>(listener: ((event: Event) => void) | undefined, event: Event): void {
  try {
    listener?.(event);
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : new Error(String(error)));
  }
}
