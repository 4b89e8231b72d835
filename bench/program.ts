/**
 * How a program of bench/ reads what it is told, and ends: 1 when it fails or something is not as it must be, 2 for wrong
 * usage; either way with one line.
 *
 * Imports nothing. Imported by floods and parts.
 */

/**
 * @param readWish reads the arguments. @throws Error with a one-line message for what means nothing
 * @param run does it. @returns whether all is as it must be. @throws what goes wrong
 */
export async function runProgram<Wish>(
  name: string,
  readWish: () => Wish,
  run: (wish: Wish) => boolean | Promise<boolean>,
): Promise<void> {
  let failure = 2;
  try {
    const wish = readWish();
    failure = 1;
    if (!(await run(wish))) process.exitCode = 1;
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = failure;
  }
}
