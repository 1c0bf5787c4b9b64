//! `[budgets]`.

use gatehouse_domain::zone::Zone;

use super::read::Section;

/// What holds for budgets that say nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Budgets {
    /// Where their days, weeks and months begin.
    pub(crate) time_zone: Zone,
}

/// Reads `[budgets]`.
pub(crate) fn budgets(s: &Section<'_, '_>) -> Option<Budgets> {
    Some(Budgets { time_zone: s.parsed("time_zone", str::parse)? })
}
