/** Stores the pool's sizing profile in the browser, for the next visit. If storage is disabled, nothing is stored. */
export class ProfileStore {
  private readonly key: string;
  private kept: string | null;

  constructor(name: string) {
    this.key = `wavepool.profile.${name}`;
    this.kept = read(this.key);
  }

  /** The profile of an earlier visit, which the pool validates before it uses it. */
  get profile(): string | null {
    return this.kept;
  }

  /** Deletes a profile that could not be used. */
  forget(): void {
    this.kept = null;
    try {
      localStorage.removeItem(this.key);
    } catch {
      // Storage is disabled.
    }
  }

  keep(profile: string): void {
    if (profile === this.kept) return;
    this.kept = profile;
    try {
      localStorage.setItem(this.key, profile);
    } catch {
      // Storage is full or disabled.
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
