//! What an organization agreed on with its provider: discounts and prices of its own.

use crate::model::ModelScope;

use super::rate::{Factor, Rates};

/// An organization's own terms, over the price table.
///
/// The default price (of unknown models) is never discounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Discount on everything that no contract below gives a discount for.
    pub discount: Discount,
    /// Contracts for some models; of those that match a model, the first counts.
    pub contracts: Vec<Contract>,
    /// The price of models that no table knows, instead of the table's own default.
    pub default: Option<Rates>,
}

/// Terms for some models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Which models: matched against the name as it was used, and against Anthropic's own name for it.
    pub models: ModelScope,
    /// Instead of [`Terms::discount`]. It also applies to the tools of an exchange with these models.
    pub discount: Option<Discount>,
    /// Prices instead of the table's plain ones. Where the table has a price under a condition (fast mode, a long
    /// prompt), that one still counts. Service tier and place multiply these prices as well.
    pub rates: Option<Rates>,
}

/// A part that is taken off, in hundredths of a percent: 1250 is 12.5 %. At most 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Discount(pub u64);

/// Terms that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTerms {
    /// A discount over 100 percent.
    #[error("a discount of `{0}` hundredths of a percent is more than 100 %")]
    Discount(u64),
    /// A default price of zero.
    #[error(
        "the default price must be above zero for every kind of token, or unknown models would seem to be free"
    )]
    FreeDefault,
}

const WHOLE: u64 = 10_000;

impl Terms {
    pub(super) fn check(&self) -> Result<(), BadTerms> {
        let discounts = self.contracts.iter().filter_map(|c| c.discount).chain([self.discount]);
        if let Some(bad) = discounts.into_iter().find(|d| d.0 > WHOLE) {
            return Err(BadTerms::Discount(bad.0));
        }
        if self.default.is_some_and(|rates| !rates.all_positive()) {
            return Err(BadTerms::FreeDefault);
        }
        Ok(())
    }

    /// The factor and, if agreed, the prices for a model.
    pub(super) fn of(&self, name: &str, canonical: &str) -> (Factor, Option<Rates>) {
        let contract = self.contracts.iter().find(|c| c.models.allows(name) || c.models.allows(canonical));
        let discount = contract.and_then(|c| c.discount).unwrap_or(self.discount);
        (Factor::new(WHOLE.saturating_sub(discount.0), WHOLE), contract.and_then(|c| c.rates))
    }
}
