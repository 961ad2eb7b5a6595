// A socket in memory that http-proxy-3 takes for the client's. Nothing written to it reaches the client before the
// upstream's 101; then it is joined to the client's socket and passes bytes and ends both ways, with backpressure.
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

export class Bridge extends Duplex {
  #client: Socket | undefined = undefined;

  constructor() {
    super({ allowHalfOpen: true });
    // What goes wrong is told by http-proxy-3's callback; a write after the end is no news.
    this.on('error', () => undefined);
  }

  /** @param early what the client sent before the handshake was over */
  join(client: Socket, early: readonly Buffer[]): void {
    this.#client = client;
    client.setTimeout(0);
    client.setNoDelay(true);
    client.setKeepAlive(true, 0);
    for (const chunk of early) this.push(chunk);
    client.on('data', (chunk: Buffer) => {
      if (!this.destroyed && !this.push(chunk)) client.pause();
    });
    client.on('end', () => {
      if (!this.destroyed) this.push(null);
    });
    client.on('close', () => this.destroy());
    client.resume();
  }

  /** Lets what was written go out, then ends both sides. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  // What http-proxy-3 sets on a socket; the client's own gets it when it is joined.
  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  override _read(): void {
    this.#client?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: (error?: Error | null) => void): void {
    const client = this.#client;
    if (client === undefined || client.destroyed) written(new Error('There is no client'));
    else if (client.write(chunk)) written();
    else client.once('drain', () => written());
  }

  override _final(ended: (error?: Error | null) => void): void {
    this.#client?.end();
    ended();
  }

  override _destroy(error: Error | null, destroyed: (error?: Error | null) => void): void {
    if (error === null) this.#client?.destroySoon();
    else this.#client?.destroy();
    destroyed(error);
  }
}
