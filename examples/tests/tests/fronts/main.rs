//! Programs behind real front servers: nginx, Apache and lighttpd.

#[macro_use]
#[path = "../shared/support/mod.rs"]
mod support;
#[path = "../shared/peers.rs"]
mod peers;
#[path = "../shared/places.rs"]
mod places;
#[path = "../shared/scgi_proxy.rs"]
mod scgi_proxy;
#[path = "../shared/servers.rs"]
mod servers;
#[path = "../shared/tool.rs"]
mod tool;
#[path = "../shared/websocket_app.rs"]
mod websocket_app;
#[path = "../shared/websocket_client.rs"]
mod websocket_client;

mod axum_forms;
mod axum_fronts;
mod axum_mounts;
mod axum_page;
mod axum_programs;
mod behind;
mod chromium;
mod fleet;
mod flow_fronts;
mod front_harness;
mod mapped_paths;
mod nginx;
mod websockets;
