//! What an operator meets on every runtime: sockets and their files, who may connect, the log,
//! systemd, containers, shutdown.

#[path = "../shared/alone.rs"]
mod alone;
#[macro_use]
#[path = "../shared/support/mod.rs"]
mod support;
#[path = "../shared/tool.rs"]
mod tool;

mod allow_list;
mod containers;
mod fuse;
mod inherited;
mod log;
mod log_failures;
mod shutdown_signal;
mod socket_files;
mod systemd;
