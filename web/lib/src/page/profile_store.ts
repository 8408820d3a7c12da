/** What the pool learned, kept in the browser from one visit to the next. Storage may be switched off: then nothing is kept. */
export class ProfileStore {
  private readonly key: string;
  private kept: string | null;

  constructor(name: string) {
    this.key = `wavepool.profile.${name}`;
    this.kept = read(this.key);
  }

  /** The profile kept by an earlier visit, whatever it is worth: the pool looks at it before it uses it. */
  get profile(): string | null {
    return this.kept;
  }

  /** Forgets a profile that could not be used, so that the next visit does not meet it again. */
  forget(): void {
    this.kept = null;
    try {
      localStorage.removeItem(this.key);
    } catch {
      // Switched off.
    }
  }

  keep(profile: string): void {
    if (profile === this.kept) return;
    this.kept = profile;
    try {
      localStorage.setItem(this.key, profile);
    } catch {
      // Full, or switched off.
    }
  }
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
