//! Guides: how to choose, write, run and fix SCGI programs.
//!
//! Each page can be read alone:
//!
//! | you want to | read |
//! |---|---|
//! | know which crate and which level of it to use | [`adapters`] |
//! | send or read large or endless bodies | [`streaming`] |
//! | find out what an error means and what to do | [`errors`] |
//! | run a server in production | [`deploying`] |
//! | configure nginx, Apache or lighttpd | [`front_servers`] |
//! | know what the crates protect, and what you must protect | [`security`] |
//! | know when a connection is read, how long it waits, and what ends it | [`flow`] |
//! | use the protocol in your own event loop | [`event_loop`] |
//! | serve WebSockets | [`upgrades`] |
//! | test a handler without a socket | [`testing`] |
//! | know how other SCGI servers answer odd requests | [`peers`] |
//! | run an axum app behind nginx, from end to end | [`deploy_axum`] |
//! | run a program in a container | [`containers`] |
//! | put HTTP in front of an SCGI server | [`gateway`] |
//! | decide between SCGI and HTTP, or between crates | [`compare`] |
//! | see how fast it is | [`performance`] |
//! | see how it is tested | [`tested`] |
//! | replace the crate `tokio-scgi` | [`migration`] |
//!
//! These modules hold text only. Their examples are compiled, and those that can run are run, in
//! the package `scgi-tests`, which has every runtime.

#[doc = include_str!("adapters.md")]
pub mod adapters {}

#[doc = include_str!("streaming.md")]
pub mod streaming {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("deploying.md")]
pub mod deploying {}

#[doc = include_str!("front_servers.md")]
pub mod front_servers {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("flow.md")]
pub mod flow {}

#[doc = include_str!("event_loop.md")]
pub mod event_loop {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("peers.md")]
pub mod peers {}

#[doc = include_str!("compare.md")]
pub mod compare {}

#[doc = include_str!("deploy_axum.md")]
pub mod deploy_axum {}

#[doc = include_str!("migration.md")]
pub mod migration {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("tested.md")]
pub mod tested {}

#[doc = include_str!("containers.md")]
pub mod containers {}

#[doc = include_str!("gateway.md")]
pub mod gateway {}

#[doc = include_str!("upgrades.md")]
pub mod upgrades {}
