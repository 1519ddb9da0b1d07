//! What the benchmarks are made of: the peers, the scenarios, the measuring in rounds, the report.

pub mod peers;
pub mod report;
pub mod rounds;
pub mod scenarios;
