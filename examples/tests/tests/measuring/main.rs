//! Memory, allocations, descriptors and load. These tests run one at a time: each takes the lock of
//! `alone`.

#[path = "../shared/alone.rs"]
mod alone;
#[path = "../shared/peers.rs"]
mod peers;
#[path = "../shared/places.rs"]
mod places;
#[path = "../shared/servers.rs"]
mod servers;
#[path = "../shared/states.rs"]
#[allow(dead_code, reason = "another program uses the rest")]
mod states;
#[path = "../shared/tool.rs"]
mod tool;
#[path = "../shared/watch.rs"]
mod watch;
#[path = "../shared/websocket_client.rs"]
mod websocket_client;

mod axum_memory;
mod client_allocations;
mod flow_load;
mod flow_memory;
mod idle_memory;
mod overload;
mod soak;
mod websocket_servers;
mod websockets;
