//! The LLM data path: accept, identify, authorize, inspect, route, translate, forward, meter, record.

pub mod ledger;
