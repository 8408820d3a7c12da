import { Participant } from './participant.ts';
import type { HostWorker } from './host_worker.ts';
import { THREAD_END, type ParticipantWasm, type HostAnswers, type PoolTicket } from '../shared/protocol.ts';

/** The page's side of a {@link BufferPool}, here or in a worker. */
export class PoolPlace {
  readonly ticket: PoolTicket;
  private readonly host: HostWorker;
  private readonly participant: Participant;
  private readonly number: number;
  private given: Promise<unknown> | null = null;
  /** Called when no thread uses it any more. */
  onEnded: () => void = () => {};
  /** Called when its thread has died, with the number of reclaimed leases. */
  onLost: (leases: number) => void = () => {};

  private constructor(host: HostWorker, wasm: ParticipantWasm, place: HostAnswers['openPool'], counts: MessagePort | null, user: 'page' | 'other') {
    this.host = host;
    const { participant, number, thread, holder, seed } = place;
    this.number = participant;
    this.participant = new Participant(host, { participant });
    const { lock, port: control } = this.participant;
    const ports = counts ? [control, counts] : [control];
    this.ticket = { wasm, participant: number, thread, holder, seed, lock, control, counts, ports };
    this.participant.onLost = (leases) => {
      // The control worker has closed the participant, and may have given its number to another one.
      this.onEnded();
      this.onLost(leases);
    };
    // A participant may leave on its own initiative. A control worker that has died closes nothing.
    this.participant.onLeft = () => void this.giveBack().catch(() => undefined);
    this.participant.invite(user);
  }

  /**
   * For a thread of this page's, or another one. In transfer mode that thread creates a pool of its own, and reports its counts to the
   * control worker.
   */
  static async open(host: HostWorker, wasm: ParticipantWasm, user: 'page' | 'other'): Promise<PoolPlace> {
    const counts = wasm.memory ? null : new MessageChannel();
    const request = { kind: 'openPool', counts: counts && counts.port1 } as const;
    const place = await host.request<'openPool'>(request, counts ? [counts.port1] : [], ({ participant }) => {
      // The caller does not wait for it any more.
      host.request<'closePool'>({ kind: 'closePool', participant, end: THREAD_END.gone }).catch(() => undefined);
    });
    return new PoolPlace(host, wasm, place, counts && counts.port2, user);
  }

  async close(): Promise<void> {
    // A thread that leaves later is closed in the control worker then.
    await this.participant.leave('leave', () => {});
    await this.giveBack();
  }

  private async giveBack(): Promise<void> {
    const { number, participant } = this;
    if (participant.end === THREAD_END.running) return;
    this.onEnded();
    this.given ??= this.host.request<'closePool'>({ kind: 'closePool', participant: number, end: participant.end });
    await this.given;
  }
}
