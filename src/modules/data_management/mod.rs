//! The buffer pool and everything that keeps it: handles, metrics, sizing, defragmentation.
