//! The real-time half makes no system call: a child process runs it under a filter that kills on any but `exit_group`.
#![cfg_attr(
    target_os = "linux",
    allow(
        unsafe_code,
        reason = "leaves without the clean-up that makes system calls"
    )
)]

#[cfg(target_os = "linux")]
mod realtime_loop;

/// Says which of the tests below the child is to play.
#[cfg(target_os = "linux")]
const ROLE: &str = "WAVEPOOL_NO_SYSCALL_CHILD";
/// The child's word that it got through.
#[cfg(target_os = "linux")]
const WELL: i32 = 42;

/// Runs the named test of this binary in a process of its own.
#[cfg(target_os = "linux")]
fn child(test: &str) -> std::process::ExitStatus {
    std::process::Command::new(std::env::current_exe().expect("this test's binary"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, "1")
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .expect("child")
}

#[cfg(target_os = "linux")]
fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// From here on this thread may call `exit_group` and nothing else; anything else ends the process.
#[cfg(target_os = "linux")]
fn forbid_system_calls() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    let allowed = [(libc::SYS_exit_group, Vec::new())].into_iter().collect();
    let filter = SeccompFilter::new(
        allowed,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH
            .try_into()
            .expect("an architecture seccomp knows"),
    );
    let program: BpfProgram = filter.and_then(BpfProgram::try_from).expect("filter");
    apply_filter(&program).expect("seccomp");
}

/// Ends the process with one system call.
#[cfg(target_os = "linux")]
fn leave(code: i32) -> ! {
    // SAFETY: takes a number, touches nothing of ours, does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(target_os = "linux")]
#[test]
fn the_guard_kills() {
    use std::os::unix::process::ExitStatusExt;

    if is_child() {
        forbid_system_calls();
        std::thread::yield_now();
        leave(WELL);
    }
    let status = child("the_guard_kills");
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_million_real_time_operations_make_no_system_call() {
    if is_child() {
        let (mut audio, _others) = realtime_loop::start();
        // The filter is this thread's alone; the others go on as they like.
        forbid_system_calls();
        while audio.operations < 1_000_000 {
            audio.quantum();
        }
        leave(if audio.queued > 0 { WELL } else { 1 });
    }
    let status = child("a_million_real_time_operations_make_no_system_call");
    assert_eq!(status.code(), Some(WELL), "{status}");
}

#[cfg(not(target_os = "linux"))]
#[test]
#[ignore = "seccomp is Linux's"]
fn a_million_real_time_operations_make_no_system_call() {}
