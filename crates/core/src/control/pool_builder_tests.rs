use super::*;

#[test]
fn default_mix_has_64_buffers_of_each_usual_size() {
    let (control, half) = PoolBuilder::default().build().unwrap();
    let usage = control.usage();
    let classes = usage
        .classes
        .iter()
        .map(|class| (class.samples, class.carved));
    assert!(classes.eq([256, 512, 1024, 2048, 4096].map(|samples| (samples, 64))));
    drop(half);
}

#[test]
#[cfg(feature = "mapped")]
fn a_pool_lives_in_mapped_pages() {
    let builder = PoolBuilder::default().class(256, 2).scrub_on_release(true);
    let (control, half) = builder.memory(MemorySource::Mapped).build().unwrap();
    let mut buffer = half.acquire(256).unwrap();
    buffer.fill(1.0);
    half.release(buffer);
    assert!(
        half.acquire(256)
            .unwrap()
            .iter()
            .all(|&sample| sample == 0.0)
    );
    assert!(control.is_valid());
}

/// Kilobytes of this process that may not be swapped out.
#[cfg(all(feature = "page-lock", target_os = "linux"))]
fn locked_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let kb = line.unwrap().trim().trim_end_matches("kB").trim();
    kb.parse().unwrap()
}

#[test]
#[cfg(all(feature = "page-lock", target_os = "linux"))]
fn locked_pages_are_locked_as_long_as_the_pool_lives() {
    // 64 KiB: what every system lets a process lock.
    let builder = PoolBuilder::default().class(4096, 4);
    let (control, half) = builder.memory(MemorySource::Locked).build().unwrap();
    assert!(locked_kb() >= 64);
    assert!(half.acquire(4096).is_ok());
    drop((half, control));
    assert_eq!(locked_kb(), 0);
}
