//! CPU time and resident memory of a process and its descendants, from /proc.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::Window;
use crate::http::now_ns;

#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    pub cpu_us: u64,
    pub rss_kib: u64,
    pub procs: u32,
}

fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &text[text.rfind(')')? + 2..];
    let f: Vec<&str> = rest.split(' ').collect();
    let ticks: u64 = f.get(11)?.parse::<u64>().ok()? + f.get(12)?.parse::<u64>().ok()?;
    Some((f.get(1)?.parse().ok()?, ticks))
}

/// Nanoseconds on a CPU, summed over threads where the kernel tells them.
fn cpu_us(pid: u32, ticks: u64, hz: u64) -> u64 {
    let mut ns = 0;
    if let Ok(dir) = fs::read_dir(format!("/proc/{pid}/task")) {
        for t in dir.flatten() {
            if let Ok(text) = fs::read_to_string(t.path().join("schedstat"))
                && let Some(n) = text.split(' ').next().and_then(|n| n.parse::<u64>().ok())
            {
                ns += n;
            }
        }
    }
    // Threads that ended are only in the ticks.
    (ns / 1000).max(ticks * 1_000_000 / hz)
}

fn rss_kib(pid: u32, page_kib: u64) -> u64 {
    // The proportional share counts pages shared by several workers once.
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        && let Some(line) = text.lines().find(|l| l.starts_with("Pss:"))
        && let Some(n) = line.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok())
    {
        return n;
    }
    fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|t| t.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()))
        .map_or(0, |pages| pages * page_kib)
}

pub fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    if let Ok(dir) = fs::read_dir("/proc") {
        for e in dir.flatten() {
            if let Some(pid) = e.file_name().to_str().and_then(|n| n.parse::<u32>().ok())
                && let Some((ppid, _)) = stat(pid)
            {
                children.entry(ppid).or_default().push(pid);
            }
        }
    }
    let mut all = vec![root];
    let mut i = 0;
    while i < all.len() {
        if let Some(c) = children.get(&all[i]) {
            all.extend(c);
        }
        i += 1;
    }
    all
}

pub fn usage(pids: &[u32], memory: bool) -> Usage {
    let (hz, page) = (rustix::param::clock_ticks_per_second(), rustix::param::page_size());
    let mut u = Usage::default();
    for &pid in pids {
        if let Some((_, ticks)) = stat(pid) {
            u.cpu_us += cpu_us(pid, ticks, hz);
            if memory {
                u.rss_kib += rss_kib(pid, page as u64 / 1024);
            }
            u.procs += 1;
        }
    }
    u
}

/// What a process tree used while it was measured.
pub struct Watched {
    pub cpu_us: u64,
    pub wall_ns: u64,
    pub peak_kib: u64,
    pub processes: u32,
}

/// Watches a process tree through the window, or until `over`.
#[expect(clippy::disallowed_methods, reason = "a thread of its own that measures for a given time")]
pub fn watch(root: u32, window: &Window, over: &AtomicBool) -> Watched {
    std::thread::sleep(Duration::from_nanos(window.from.saturating_sub(now_ns())));
    let pids = tree(root);
    let first = usage(&pids, false);
    let began = now_ns();
    let mut peak_kib = 0;
    loop {
        let pause = window.to.saturating_sub(now_ns()).min(250_000_000);
        std::thread::sleep(Duration::from_nanos(pause));
        let done = now_ns() >= window.to || over.load(Relaxed);
        let now = usage(&pids, false);
        let wall_ns = now_ns() - began;
        peak_kib = peak_kib.max(usage(&pids, true).rss_kib);
        if done {
            let cpu_us = now.cpu_us.saturating_sub(first.cpu_us);
            return Watched { cpu_us, wall_ns, peak_kib, processes: first.procs };
        }
    }
}
