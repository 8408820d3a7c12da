type Theme = 'auto' | 'light' | 'dark';

const order: readonly Theme[] = ['auto', 'light', 'dark'];
const labels: Record<Theme, string> = { auto: 'Auto', light: 'Light', dark: 'Dark' };
const key = 'wavepool.theme';

/** Colours as the system has them, or light, or dark; the choice is kept. `changed` runs whenever they change. */
export function startTheme(button: HTMLButtonElement, name: HTMLElement, changed: () => void): void {
  let theme = stored();
  const apply = (): void => {
    if (theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
    name.textContent = labels[theme];
    button.ariaLabel = theme === 'auto' ? 'Colours: as the system' : `Colours: ${theme}`;
    changed();
  };
  button.addEventListener('click', () => {
    theme = order[(order.indexOf(theme) + 1) % order.length] ?? 'auto';
    try {
      localStorage.setItem(key, theme);
    } catch {
      // Storage may be switched off: the choice then lasts as long as the page.
    }
    apply();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply);
  apply();
}

function stored(): Theme {
  try {
    const theme = localStorage.getItem(key);
    return order.find((one) => one === theme) ?? 'auto';
  } catch {
    return 'auto';
  }
}
