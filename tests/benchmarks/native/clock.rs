//! The thread's own time: on a shared machine, others' work is not to count.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(crate) fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
