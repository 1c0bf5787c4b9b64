//! The number by which this machine is known to gateways.

use std::path::Path;

use gatehouse_domain::settings::{Machine, MachineId, Platform};
use sha2::{Digest as _, Sha256};

/// Where Linux keeps an identifier of the installation (machine-id(5)).
const INSTALLATION: &str = "/etc/machine-id";

/// This machine: made of a seed that was drawn for the cache, and of the installation where the system names it. So a home
/// directory that several machines share gives each a number of its own, and nobody can compute either from the number.
pub(super) fn this(seed: &[u8; 32]) -> Machine {
    of(seed, std::fs::read(Path::new(INSTALLATION)).unwrap_or_default().trim_ascii())
}

fn of(seed: &[u8; 32], installation: &[u8]) -> Machine {
    let mut hash = Sha256::new();
    hash.update(b"gatehouse machine 1");
    hash.update(seed);
    hash.update(installation);
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk::<16>().expect("16 of 32 bytes are there");
    Machine { id: MachineId::from_bytes(*first), platform: Platform::of(std::env::consts::OS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_and_depends_on_both() {
        let one = of(&[1; 32], b"a");
        assert_eq!(one, of(&[1; 32], b"a"));
        assert_ne!(one, of(&[2; 32], b"a"));
        assert_ne!(one, of(&[1; 32], b"b"));
    }
}
