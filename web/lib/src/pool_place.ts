import { Guest } from './guest.ts';
import type { HostWorker } from './host_worker.ts';
import type { GuestWasm, PoolTicket } from './protocol.ts';

/** The page's side of a {@link BufferPool}, here or in a worker. */
export class PoolPlace {
  readonly ticket: PoolTicket;
  private readonly host: HostWorker;
  private readonly guest: Guest;
  private readonly number: number | null;

  private constructor(host: HostWorker, wasm: GuestWasm, holder: number, place: { participant: number; address: number } | null) {
    this.host = host;
    this.number = place && place.participant;
    this.guest = new Guest(host, place && { participant: place.participant });
    const { lock, port: control } = this.guest;
    this.ticket = { wasm, participant: place?.address ?? 0, holder, lock, control, ports: [control] };
    this.guest.invite();
  }

  /** In transfer mode the thread will make a pool of its own, whose leases carry this holder's number. */
  static async open(host: HostWorker, wasm: GuestWasm, holder: number): Promise<PoolPlace> {
    if (wasm.memory === null) return new PoolPlace(host, wasm, holder, null);
    const place = await host.request<'openPool'>({ kind: 'openPool' });
    return new PoolPlace(host, wasm, place.participant, place);
  }

  /** Called when the pool's thread has died, with the number of leases that were taken back. */
  set onLost(callback: (leases: number) => void) {
    this.guest.onLost = callback;
  }

  async close(): Promise<void> {
    await this.guest.leave(() => void this.giveBack());
    await this.giveBack();
  }

  private async giveBack(): Promise<void> {
    if (!this.guest.stopped || this.number === null) return;
    await this.host.request<'closePool'>({ kind: 'closePool', participant: this.number, threads: this.guest.takeThread() });
  }
}
