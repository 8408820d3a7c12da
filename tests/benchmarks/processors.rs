//! Where threads run: on a shared machine, who shares a processor with whom decides figures.

/// The calling thread, and those it makes from here on, run on this one of the processors it may use, counted from 0.
/// Where there is no such call, wherever the system puts them.
pub(crate) fn stay_on(nth: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        static ALLOWED: std::sync::OnceLock<Option<CpuSet>> = std::sync::OnceLock::new();
        let Some(allowed) = ALLOWED.get_or_init(|| sched_getaffinity(None).ok()) else {
            return;
        };
        let cpus: Vec<_> = (0..CpuSet::MAX_CPU)
            .filter(|&cpu| allowed.is_set(cpu))
            .collect();
        let mut one = CpuSet::new();
        one.set(cpus[nth % cpus.len()]);
        // A refusal leaves the thread where it may be anyway.
        let _ = sched_setaffinity(None, &one);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nth;
}
