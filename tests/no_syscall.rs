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

#[cfg(target_os = "linux")]
use wavepool::event_bus::{DispatcherThread, Event, Priority, Published, Publisher, TypedEventBus};

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

#[cfg(target_os = "linux")]
macro_rules! events {
    ($($Name:ident $priority:ident,)*) => {$(
        #[derive(Clone, Copy, serde::Serialize)]
        struct $Name(u64);
        impl Event for $Name {
            const NAME: &'static str = stringify!($Name);
            const PRIORITY: Priority = Priority::$priority;
        }
    )*};
}

#[cfg(target_os = "linux")]
events! {
    Urgent Critical,
    Soon High,
    Later Normal,
    Unwanted Critical,
}

/// A publisher with an inline handler and subscribers of every lane, and the dispatcher that serves these.
#[cfg(target_os = "linux")]
fn publishing(inline: fn(&Urgent)) -> (Publisher, impl Sized) {
    let bus = TypedEventBus::default();
    let subscriptions = (
        bus.subscribe(|_: &Urgent| ()).expect("room"),
        bus.subscribe(|_: &Soon| ()).expect("room"),
        bus.subscribe(|_: &Later| ()).expect("room"),
    );
    let mut publisher = bus.publisher().expect("room");
    publisher.add_inline(inline).expect("room");
    let dispatcher = DispatcherThread::spawn(&bus).expect("thread");
    (publisher, (subscriptions, dispatcher))
}

#[cfg(target_os = "linux")]
#[test]
fn publishing_to_every_lane_makes_no_system_call() {
    use std::sync::atomic::{AtomicU64, Ordering};

    static HANDLED: AtomicU64 = AtomicU64::new(0);
    const ROUNDS: u64 = 250_000;
    if is_child() {
        let (publisher, _others) = publishing(|_| _ = HANDLED.fetch_add(1, Ordering::Relaxed));
        forbid_system_calls();
        // Queued, refused by full lanes (the dispatcher sleeps between its looks), not wanted by anybody.
        let (mut queued, mut dropped, mut idle) = (0, 0, 0);
        for n in 0..ROUNDS {
            for fate in [
                publisher.publish(Urgent(n)),
                publisher.publish(Soon(n)),
                publisher.publish(Later(n)),
                publisher.publish(Unwanted(n)),
            ] {
                match fate {
                    Published::Queued => queued += 1,
                    Published::Dropped => dropped += 1,
                    Published::Idle => idle += 1,
                }
            }
        }
        let all = queued > 0 && dropped > 0 && idle == ROUNDS;
        let handled = HANDLED.load(Ordering::Relaxed) == ROUNDS;
        leave(if all && handled { WELL } else { 1 });
    }
    let status = child("publishing_to_every_lane_makes_no_system_call");
    assert_eq!(status.code(), Some(WELL), "{status}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_inline_handler_that_makes_a_system_call_is_killed() {
    use std::os::unix::process::ExitStatusExt;

    if is_child() {
        let (publisher, _others) = publishing(|_| std::thread::yield_now());
        forbid_system_calls();
        publisher.publish(Urgent(0));
        leave(WELL);
    }
    let status = child("an_inline_handler_that_makes_a_system_call_is_killed");
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
}

#[cfg(not(target_os = "linux"))]
#[test]
#[ignore = "seccomp is Linux's"]
fn a_million_real_time_operations_make_no_system_call() {}
