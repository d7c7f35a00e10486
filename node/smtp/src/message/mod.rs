//! Messages on their way: header fields, trace fields, what submission checks and adds, reports.

mod address_list;
mod fields;
mod report;
mod submission;
mod trace;

pub use address_list::{Addresses, parse_address_list};
pub use fields::{Field, Header, MAX_HEADER};
pub use report::{Action as ReportAction, ReportSpec, Reported, build_report};
pub use submission::{Completed, complete};
pub use trace::{Trace, date_time, strip_return_path, with_trace};

#[cfg(test)]
mod tests;
