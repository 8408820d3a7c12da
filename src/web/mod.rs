//! The browser host: exports for the worklet and the worker.
