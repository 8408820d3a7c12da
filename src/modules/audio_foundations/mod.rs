//! Re-blocking, level and pitch on pooled buffers.
