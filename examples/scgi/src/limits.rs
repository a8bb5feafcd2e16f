//! The flags that set limits on requests.

use clap::Args;
use scgi_proto::Limits;

use crate::units::{size, size_in_memory};

/// What `decode` and `echo` take at most.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Largest header block [default: 256KiB]
    #[arg(long, value_name = "SIZE", value_parser = size_in_memory)]
    max_head: Option<usize>,
    /// Largest number of params [default: 1000]
    #[arg(long, value_name = "N")]
    max_params: Option<usize>,
    /// Largest body [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_body: Option<u64>,
}

impl LimitArgs {
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(bytes) = self.max_head {
            limits = limits.with_max_header_block_len(bytes);
        }
        if let Some(count) = self.max_params {
            limits = limits.with_max_params(count);
        }
        if let Some(bytes) = self.max_body {
            limits = limits.with_max_body_len(bytes);
        }
        limits
    }
}
