//! Programs behind real front servers: nginx, Apache and lighttpd.

#[macro_use]
#[path = "../shared/support/mod.rs"]
mod support;
#[path = "../shared/peers.rs"]
mod peers;
#[path = "../shared/servers.rs"]
mod servers;
#[path = "../shared/tool.rs"]
mod tool;

mod axum_forms;
mod axum_fronts;
mod axum_mounts;
mod axum_page;
mod axum_programs;
mod behind;
mod fleet;
mod flow_fronts;
mod front_harness;
mod mapped_paths;
mod nginx;
