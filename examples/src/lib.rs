//! What the examples share: the page that the servers answer with, and the address argument.

mod page;

use std::error::Error;

pub use page::{html, page};
use scgi_proto::Address;

/// Any error: what the programs end with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The one argument of a program: an address.
///
/// # Errors
/// If there is no argument, or it is not an address.
pub fn address() -> Result<Address, BoxError> {
    let text = std::env::args()
        .nth(1)
        .ok_or("usage: PROGRAM ADDR, as in 127.0.0.1:4000 or /run/app.sock")?;
    Ok(text.parse()?)
}
