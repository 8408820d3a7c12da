//! Modules, and the registry that boots them in dependency order.
