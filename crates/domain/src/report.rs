//! Figures for finance: months, allocation, statements, forecasts, anomalies, caching, exchange rates, reconciliation.
//!
//! Money is nano-dollars throughout; where a whole is split, the parts add up to it exactly.

pub mod month;
pub mod allocate;
pub mod statement;
pub mod forecast;
pub mod anomaly;
pub mod cache;
pub mod exchange_rate;
pub mod reconcile;
#[cfg(test)]
mod tests;

pub use month::Month;
