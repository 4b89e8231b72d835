/**
 * A view on frame memory that lets nobody read outside one frame.
 *
 * Imports nothing.
 */
export class GuardedView extends DataView<ArrayBuffer> {
  start = 0;
  end = 0;

  #check(at: number, bytes: number): void {
    if (at < this.start || at + bytes > this.end) {
      throw new RangeError(`read of ${bytes} bytes at ${at}, outside [${this.start}, ${this.end})`);
    }
  }

  override getUint8(at: number): number {
    this.#check(at, 1);
    return super.getUint8(at);
  }

  override getUint16(at: number, isLittle?: boolean): number {
    this.#check(at, 2);
    return super.getUint16(at, isLittle);
  }

  override getInt32(at: number, isLittle?: boolean): number {
    this.#check(at, 4);
    return super.getInt32(at, isLittle);
  }

  override getUint32(at: number, isLittle?: boolean): number {
    this.#check(at, 4);
    return super.getUint32(at, isLittle);
  }
}
