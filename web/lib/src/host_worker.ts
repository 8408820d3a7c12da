import { controlWorker } from './assets.ts';
import { WavepoolError } from './errors.ts';
import type { Guest } from './guest.ts';
import type { FromHost, Holder, HostAnswers, HostRequest, ToHost } from './protocol.ts';

type Waiting = { resolve: (value: never) => void; reject: (error: WavepoolError) => void };

/** The page's line to the control worker: one answer or refusal per request. */
export class HostWorker {
  onSnapshot: (json: string) => void = () => {};
  onCrash: (message: string) => void = () => {};
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private readonly guests = new Map<string, Guest>();
  private nextId = 1;
  /** Why no request can be answered any more. */
  private dead: WavepoolError | null = null;

  constructor() {
    this.worker = controlWorker();
    this.worker.onmessage = (event: MessageEvent<FromHost>) => this.hear(event.data);
    this.worker.onerror = (event) => {
      this.fail(`The control worker failed: ${event.message || 'its script did not load'}.`);
    };
  }

  /** Boots the worker, and watches over it from then on. */
  async boot(request: Omit<Extract<HostRequest, { kind: 'boot' }>, 'kind' | 'lock'>): Promise<HostAnswers['boot']> {
    const lock = `wavepool ${crypto.randomUUID()}`;
    const answer = await this.request<'boot'>({ kind: 'boot', lock, ...request });
    void navigator.locks.request(lock, () => this.fail('The control worker is gone.'));
    return answer;
  }

  request<K extends HostRequest['kind']>(
    request: Extract<HostRequest, { kind: K }>,
    transfer: Transferable[] = [],
  ): Promise<HostAnswers[K]> {
    if (this.dead) return Promise.reject(this.dead);
    const id = this.nextId++;
    return new Promise<HostAnswers[K]>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...request, id } satisfies ToHost, transfer);
    });
  }

  /** Has the worker notice when the guest's thread dies, and take back what it held. */
  async watch(guest: Guest, holder: Holder): Promise<void> {
    this.guests.set(guest.lock, guest);
    await this.request<'watch'>({ kind: 'watch', lock: guest.lock, holder });
  }

  /** The guest has left. */
  async unwatch({ lock }: Guest): Promise<void> {
    this.guests.delete(lock);
    await this.request<'unwatch'>({ kind: 'unwatch', lock });
  }

  terminate(): void {
    this.worker.terminate();
    this.fail('The pool was closed.', 'closed');
  }

  private hear(message: FromHost): void {
    switch (message.kind) {
      case 'snapshot':
        return this.onSnapshot(message.json);
      case 'lost':
        this.guests.get(message.lock)?.lost(message.leases);
        this.guests.delete(message.lock);
        return;
      case 'crash':
        return this.fail(`The control worker stopped: ${message.message}.`);
      case 'answer':
        this.take(message.id)?.resolve(message.value as never);
        return;
      case 'refusal':
        this.take(message.id)?.reject(new WavepoolError('stream-refused', message.message));
    }
  }

  private take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private fail(message: string, code: 'host-failed' | 'closed' = 'host-failed'): void {
    if (this.dead) return;
    this.dead = new WavepoolError(code, message);
    for (const { reject } of this.waiting.values()) reject(this.dead);
    this.waiting.clear();
    if (code !== 'closed') this.onCrash(message);
  }
}
