//! No lock, no waiting: every other thread is frozen wherever it happens to be, and the owner goes on.
//!
//! A signal stops the threads: its handler does not return until they are let go. The same freeze stops the owner of a pool
//! behind a mutex sooner or later, when it hits the thread that holds it.
#![cfg_attr(target_os = "linux", allow(unsafe_code, reason = "signals"))]

#[cfg(target_os = "linux")]
mod realtime_loop;

#[cfg(target_os = "linux")]
mod freezing {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, Once, PoisonError};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::realtime_loop;

    const FREEZES: usize = 200;
    /// Steps the owner has to make in each freeze.
    const STEPS: u64 = 200;
    /// How long it may take on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// How long the trip test waits once, for what does not come.
    const TRIP_PATIENCE: Duration = Duration::from_secs(2);

    static FREEZING: AtomicBool = AtomicBool::new(false);
    static FROZEN: AtomicUsize = AtomicUsize::new(0);

    /// Holds the thread where the signal met it. Only atomics and a sleep: fit for a signal handler.
    extern "C" fn hold(_: libc::c_int) {
        FROZEN.fetch_add(1, Ordering::SeqCst);
        while FREEZING.load(Ordering::SeqCst) {
            // SAFETY: async-signal-safe; takes a valid timespec and no result.
            unsafe {
                let moment = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 100_000,
                };
                libc::nanosleep(&moment, std::ptr::null_mut());
            }
        }
        FROZEN.fetch_sub(1, Ordering::SeqCst);
    }

    fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: an all-zero sigaction is a valid value to fill; the handler is fit for one.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = hold as extern "C" fn(libc::c_int) as usize;
                action.sa_flags = libc::SA_RESTART;
                assert_eq!(
                    libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
                    0
                );
            }
        });
    }

    /// Threads of this process by their kernel number.
    fn threads() -> Vec<libc::pid_t> {
        std::fs::read_dir("/proc/self/task")
            .expect("threads")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    }

    fn this_thread() -> libc::pid_t {
        // SAFETY: no argument, no failure.
        unsafe { libc::gettid() }
    }

    /// Freezes threads, waits for `steps` to grow, but not beyond `patience`, and lets them go; returns whether it grew.
    fn goes_on_while_frozen(
        victims: &[libc::pid_t],
        steps: &AtomicU64,
        patience: Duration,
    ) -> bool {
        FREEZING.store(true, Ordering::SeqCst);
        for &victim in victims {
            // SAFETY: a signal with a handler, to a thread of this process.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), victim, libc::SIGUSR1) };
        }
        let until = Instant::now() + PATIENCE;
        while FROZEN.load(Ordering::SeqCst) < victims.len() {
            assert!(Instant::now() < until, "a thread does not take its signal");
            thread::yield_now();
        }
        let until = Instant::now() + patience;
        let goal = steps.load(Ordering::Relaxed) + STEPS;
        while steps.load(Ordering::Relaxed) < goal && Instant::now() < until {
            thread::yield_now();
        }
        let went_on = steps.load(Ordering::Relaxed) >= goal;
        FREEZING.store(false, Ordering::SeqCst);
        while FROZEN.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        went_on
    }

    fn my_turn() -> std::sync::MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `step` on a thread that is never frozen, while `others` are, again and again; returns how many freezes it
    /// went through without stopping for longer than `patience`.
    fn survive(before: &[libc::pid_t], patience: Duration, mut step: impl FnMut() + Send) -> usize {
        install();
        let conductor = this_thread();
        let victims: Vec<_> = threads()
            .into_iter()
            .filter(|thread| !before.contains(thread) && *thread != conductor)
            .collect();
        assert!(!victims.is_empty());
        let (steps, done) = (Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
        let counted = steps.clone();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    step();
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            let survived = (0..FREEZES)
                .take_while(|_| {
                    // Anywhere in their work.
                    thread::sleep(Duration::from_micros(300));
                    goes_on_while_frozen(&victims, &steps, patience)
                })
                .count();
            done.store(true, Ordering::Relaxed);
            survived
        })
    }

    #[test]
    fn the_owner_goes_on_while_every_other_thread_is_frozen() {
        let _turn = my_turn();
        let before = threads();
        let (mut audio, others) = realtime_loop::start();
        let survived = survive(&before, PATIENCE, || audio.quantum());
        assert_eq!(survived, FREEZES);
        others.finish(audio);
    }

    #[test]
    fn the_owner_of_a_pool_behind_a_mutex_is_stopped() {
        let _turn = my_turn();
        let before = threads();
        let idle = Arc::new(Mutex::new(vec![vec![0.0_f32; 1024]; 64]));
        let done = Arc::new(AtomicBool::new(false));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (idle, done) = (idle.clone(), done.clone());
                thread::spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let mut idle = idle.lock().expect("not poisoned");
                        let buffer = idle.pop().expect("idle buffer");
                        idle.push(buffer);
                    }
                })
            })
            .collect();
        let survived = survive(&before, TRIP_PATIENCE, || {
            let mut idle = idle.lock().expect("not poisoned");
            let buffer = idle.pop().expect("idle buffer");
            idle.push(buffer);
        });
        done.store(true, Ordering::Relaxed);
        for other in others {
            other.join().expect("thread");
        }
        assert!(
            survived < FREEZES,
            "nothing stopped it: the freeze is no test"
        );
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
#[ignore = "stops single threads by their kernel number, which is Linux's"]
fn the_owner_goes_on_while_every_other_thread_is_frozen() {}
