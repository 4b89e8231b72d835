/**
 * A control connection whose payload is rewritten on the way: each side counts the bytes that it sees.
 *
 * Imports conversations.
 */
import { clientSegment, type Path, serverSegment, tcpClosing, tcpOpening } from './conversations.js';

/** Bytes of one side as itself counts them and as they arrive. */
interface Side {
  sent: number;
  arrived: number;
}

export class Dialogue {
  readonly #path: Path;
  readonly #client: Side = { sent: 1, arrived: 1 };
  readonly #server: Side = { sent: 1, arrived: 1 };

  constructor(path: Path) {
    this.#path = path;
  }

  opening(): Uint8Array[] {
    return tcpOpening(this.#path);
  }

  /** What the client sends. @param growth by how many bytes it becomes longer on the way */
  client(payload: string, growth = 0): Uint8Array {
    const flags = payload === '' ? 'A' : 'PA';
    const segment = clientSegment(this.#path, { flags, at: this.#client.sent, seen: this.#server.arrived, payload });
    this.#client.sent += payload.length;
    this.#client.arrived += payload.length + growth;
    return segment;
  }

  /** What the server sends. */
  server(payload: string, growth = 0): Uint8Array {
    const flags = payload === '' ? 'A' : 'PA';
    const segment = serverSegment(this.#path, { flags, at: this.#server.sent, seen: this.#client.arrived, payload });
    this.#server.sent += payload.length;
    this.#server.arrived += payload.length + growth;
    return segment;
  }

  /** The client closes, then the server. */
  closing(): Uint8Array[] {
    if (this.#client.sent === this.#client.arrived && this.#server.sent === this.#server.arrived) {
      return tcpClosing(this.#path, this.#client.sent, this.#server.sent);
    }
    return [
      clientSegment(this.#path, { flags: 'FA', at: this.#client.sent, seen: this.#server.arrived }),
      serverSegment(this.#path, { flags: 'FA', at: this.#server.sent, seen: this.#client.arrived + 1 }),
      clientSegment(this.#path, { flags: 'A', at: this.#client.sent + 1, seen: this.#server.arrived + 1 }),
    ];
  }
}
