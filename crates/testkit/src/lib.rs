//! Fakes and builders for tests; never part of the product.
