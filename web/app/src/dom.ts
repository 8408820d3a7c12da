/** The element with this id. The page's own markup has it: a missing one is a programming error. */
export function byId<T extends Element>(id: string, type: abstract new (...args: never[]) => T): T {
  const element = document.getElementById(id) as Element | null;
  if (!(element instanceof type)) throw new Error(`index.html has no <${type.name}> #${id}`);
  return element;
}

/** A new element with a class and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = '',
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A text that touches the document only when it changes: figures come twenty times a second, most of them the same. */
export class Text {
  readonly #node: globalThis.Text;
  #shown: string;

  constructor(parent: Element) {
    this.#shown = parent.textContent ?? '';
    this.#node = document.createTextNode(this.#shown);
    parent.replaceChildren(this.#node);
  }

  set(text: string): void {
    if (text === this.#shown) return;
    this.#shown = text;
    this.#node.data = text;
  }
}

/** A CSS transform that is written only when it changes. */
export class Transform {
  readonly #style: CSSStyleDeclaration;
  #shown = '';

  constructor(element: HTMLElement | SVGElement) {
    this.#style = element.style;
  }

  set(transform: string): void {
    if (transform === this.#shown) return;
    this.#shown = transform;
    this.#style.transform = transform;
  }
}
