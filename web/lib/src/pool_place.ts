import { Guest } from './guest.ts';
import type { HostWorker } from './host_worker.ts';
import { THREAD_END, type GuestWasm, type HostAnswers, type PoolTicket } from './protocol.ts';

/** The page's side of a {@link BufferPool}, here or in a worker. */
export class PoolPlace {
  readonly ticket: PoolTicket;
  private readonly host: HostWorker;
  private readonly guest: Guest;
  private readonly participant: number;

  private constructor(host: HostWorker, wasm: GuestWasm, place: HostAnswers['openPool'], counts: MessagePort | null) {
    this.host = host;
    const { participant, number, thread, holder, seed } = place;
    this.participant = participant;
    this.guest = new Guest(host, { participant });
    const { lock, port: control } = this.guest;
    const ports = counts ? [control, counts] : [control];
    this.ticket = { wasm, participant: number, thread, holder, seed, lock, control, counts, ports };
    this.guest.invite();
  }

  /** In transfer mode the thread will make a pool of its own, and tell the control worker what it counts. */
  static async open(host: HostWorker, wasm: GuestWasm): Promise<PoolPlace> {
    const counts = wasm.memory ? null : new MessageChannel();
    const place = await host.request<'openPool'>({ kind: 'openPool', counts: counts && counts.port1 }, counts ? [counts.port1] : []);
    return new PoolPlace(host, wasm, place, counts && counts.port2);
  }

  /** Called when the pool's thread has died, with the number of leases that were taken back. */
  set onLost(callback: (leases: number) => void) {
    this.guest.onLost = callback;
  }

  async close(): Promise<void> {
    await this.guest.leave('leave', () => void this.giveBack());
    await this.giveBack();
  }

  private async giveBack(): Promise<void> {
    const { participant, guest } = this;
    if (guest.end === THREAD_END.running) return;
    await this.host.request<'closePool'>({ kind: 'closePool', participant, end: guest.end });
  }
}
