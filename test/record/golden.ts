/** Where the captures and the answers are, seen from the compiled files. */
import { fileURLToPath } from 'node:url';

export const GOLDEN = fileURLToPath(new URL('../../../test/golden/', import.meta.url));
