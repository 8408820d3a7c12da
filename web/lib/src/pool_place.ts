import { Guest } from './guest.ts';
import type { HostWorker } from './host_worker.ts';
import { THREAD_END, type GuestWasm, type HostAnswers, type PoolTicket } from './protocol.ts';

/** The page's side of a {@link BufferPool}, here or in a worker. */
export class PoolPlace {
  readonly ticket: PoolTicket;
  private readonly host: HostWorker;
  private readonly guest: Guest;
  private readonly participant: number;
  private given: Promise<unknown> | null = null;
  /** Called when nobody uses it any more. */
  onEnded: () => void = () => {};
  /** Called when its thread has died, with the number of leases that were taken back. */
  onLost: (leases: number) => void = () => {};

  private constructor(host: HostWorker, wasm: GuestWasm, place: HostAnswers['openPool'], counts: MessagePort | null) {
    this.host = host;
    const { participant, number, thread, holder, seed } = place;
    this.participant = participant;
    this.guest = new Guest(host, { participant });
    const { lock, port: control } = this.guest;
    const ports = counts ? [control, counts] : [control];
    this.ticket = { wasm, participant: number, thread, holder, seed, lock, control, counts, ports };
    this.guest.onLost = (leases) => {
      // The control worker has closed it: its number may be another one's by now.
      this.onEnded();
      this.onLost(leases);
    };
    // It may leave without having been asked to. A control worker that has died takes nothing back.
    this.guest.onLeft = () => void this.giveBack().catch(() => undefined);
    this.guest.invite();
  }

  /** In transfer mode the thread will make a pool of its own, and tell the control worker what it counts. */
  static async open(host: HostWorker, wasm: GuestWasm): Promise<PoolPlace> {
    const counts = wasm.memory ? null : new MessageChannel();
    const request = { kind: 'openPool', counts: counts && counts.port1 } as const;
    const place = await host.request<'openPool'>(request, counts ? [counts.port1] : [], ({ participant }) => {
      // Nobody waits for it any more.
      host.request<'closePool'>({ kind: 'closePool', participant, end: THREAD_END.gone }).catch(() => undefined);
    });
    return new PoolPlace(host, wasm, place, counts && counts.port2);
  }

  async close(): Promise<void> {
    // What goes only later is given back when it has left.
    await this.guest.leave('leave', () => {});
    await this.giveBack();
  }

  private async giveBack(): Promise<void> {
    const { participant, guest } = this;
    if (guest.end === THREAD_END.running) return;
    this.onEnded();
    this.given ??= this.host.request<'closePool'>({ kind: 'closePool', participant, end: guest.end });
    await this.given;
  }
}
