//! Whether the machine is large enough for the people it serves.

use std::sync::Arc;

use gatehouse_domain::readiness::Finding;
use gatehouse_store::Page;
use gatehouse_store::user::UserFilter;

use super::super::live::Live;

/// Of all people, one in so many has a request under way at the busiest moment.
const AT_ONCE: u64 = 10;
/// Requests with 60 KB bodies that one core carries in a second, with all that goes with them, at half load: a third of what
/// `scripts/bench` measures.
const PER_CORE: u64 = 500;
/// Requests that somebody at work makes in a minute.
const PER_MINUTE: u64 = 6;
/// Memory of a node without requests, and for each one under way (its body, and buffers), in KiB.
const MEMORY_KIB: (u64, u64) = (64 * 1024, 512);
/// Space of a node's beginning, and for each person (about 200 days of exchanges and their audit log), in MiB.
const SPACE_MIB: (u64, u64) = (1024, 100);

/// What a machine has.
struct Host {
    cores: u64,
    memory_mib: u64,
    free_mib: u64,
}

/// Compares this machine with what the people of the organization need.
pub(super) async fn resources(live: Arc<Live>) -> Finding {
    let people = match people(&live).await {
        Ok(people) => people,
        Err(why) => return Finding::Bad(format!("people cannot be counted: {why}")),
    };
    let at = live.data_dir().to_owned();
    let found = tokio::task::spawn_blocking(move || measure(&at)).await;
    match found.unwrap_or_else(|gone| Err(gone.to_string())) {
        Ok(host) => compare(&host, people, live.store.engine_name() == "sqlite"),
        Err(why) => Finding::Unknown(format!("this machine's size cannot be read: {why}")),
    }
}

async fn people(live: &Live) -> Result<u64, String> {
    let (mut count, mut page) = (0_u64, Page::first(1000));
    loop {
        let listed = live
            .store
            .users(live.org, &UserFilter::default(), &page)
            .await
            .map_err(|error| error.to_string())?;
        count += listed.items.len() as u64;
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(count),
        }
    }
}

fn compare(host: &Host, people: u64, keeps_data: bool) -> Finding {
    let at_once = people.div_ceil(AT_ONCE);
    let cores = (at_once * PER_MINUTE).div_ceil(60 * PER_CORE).max(1);
    let memory = (MEMORY_KIB.0 + at_once * MEMORY_KIB.1).div_ceil(1024);
    let space = SPACE_MIB.0 + if keeps_data { people * SPACE_MIB.1 } else { 0 };
    let have = format!(
        "{} cores, {} MiB of memory, {} MiB free for data; {people} people need {cores}, {memory} MiB and {space} MiB",
        host.cores, host.memory_mib, host.free_mib
    );
    if host.free_mib < 1024 || host.memory_mib < memory {
        Finding::Bad(have)
    } else if host.cores < cores || host.free_mib < space {
        Finding::Poor(have)
    } else {
        Finding::Good(have)
    }
}

#[cfg(target_os = "linux")]
fn measure(data_dir: &std::path::Path) -> Result<Host, String> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|error| format!("/proc/meminfo: {error}"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    let space = rustix::fs::statvfs(data_dir).map_err(|error| format!("{}: {error}", data_dir.display()))?;
    let cores = std::thread::available_parallelism().map_err(|error| error.to_string())?;
    Ok(Host {
        cores: cores.get() as u64,
        memory_mib: kib.ok_or("/proc/meminfo does not tell the memory")? / 1024,
        free_mib: space.f_bavail.saturating_mul(space.f_frsize) / (1024 * 1024),
    })
}

#[cfg(not(target_os = "linux"))]
fn measure(_: &std::path::Path) -> Result<Host, String> {
    Err("it is measured on Linux only".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(cores: u64, memory_mib: u64, free_mib: u64, people: u64) -> &'static str {
        match compare(&Host { cores, memory_mib, free_mib }, people, true) {
            Finding::Good(_) => "good",
            Finding::Poor(_) => "poor",
            Finding::Bad(_) => "bad",
            Finding::NotNeeded(_) | Finding::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn what_people_need_is_held_against_what_there_is() {
        for (cores, memory, free, people, expected) in [
            (2, 4096, 50_000, 100, "good"),
            (2, 4096, 50_000, 0, "good"),
            (2, 4096, 5_000, 100, "poor"),
            (2, 4096, 500, 1, "bad"),
            (2, 64, 50_000, 10_000, "bad"),
            (1, 8192, 20_000_000, 100_000, "poor"),
            (2, 8192, 20_000_000, 100_000, "good"),
        ] {
            assert_eq!(judged(cores, memory, free, people), expected, "{cores} {memory} {free} {people}");
        }
    }
}
