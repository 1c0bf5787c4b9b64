//! Prices as dated data with conditions.
