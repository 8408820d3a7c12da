//! Installs what a command needs, as far as that may be done without asking anybody.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process;

static INSTALLING: Mutex<()> = Mutex::new(());

/// Held while something is looked for and installed. Suites run side by side: without this, one would find what another has
/// half installed.
pub(crate) fn installing() -> MutexGuard<'static, ()> {
    INSTALLING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `rustup ARGUMENTS` ended well; rustup shows its own progress and errors.
pub(crate) fn rustup(arguments: &[&str]) -> bool {
    Command::new("rustup")
        .args(arguments)
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs Debian packages when this may be done without asking anybody: as root, or by sudo
/// without a password. Returns whether it worked; apt shows its own progress and errors.
pub(crate) fn apt_install(packages: &[&str]) -> bool {
    if on_path("apt-get").is_none() {
        return false;
    }
    let apt = |arguments: &[&str]| {
        let mut command = if is_root() {
            Command::new("apt-get")
        } else {
            Command::new("sudo")
        };
        if !is_root() {
            command.args(["-n", "apt-get"]);
        }
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        command.status().is_ok_and(|status| status.success())
    };
    if !is_root() && !process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        return false;
    }
    println!("installing {} from the distribution", packages.join(", "));
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    apt(&["update"]) && apt(&install)
}

fn is_root() -> bool {
    process::capture(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// The full path of a program on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}
