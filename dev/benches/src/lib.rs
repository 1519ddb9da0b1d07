//! What the benchmarks are made of: the peers, the scenarios, the measuring in rounds, the floors, the report.

pub mod chart;
pub mod clock;
pub mod evict;
pub mod floors;
pub mod growth;
pub mod library;
pub mod machine;
pub mod options;
pub mod order;
pub mod peers;
pub mod pin;
pub mod processes;
pub mod report;
pub mod rounds;
pub mod scenarios;
pub mod stats;
