// wasm-bindgen's glue makes these when it is loaded, and a worklet has none. The shapes measured pass no text.
class TextCoder {
  decode() {
    return '';
  }
  encodeInto() {
    return { read: 0, written: 0 };
  }
}
globalThis.TextDecoder ??= TextCoder;
globalThis.TextEncoder ??= TextCoder;
