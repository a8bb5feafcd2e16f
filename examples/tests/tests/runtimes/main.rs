//! The same behaviour on every runtime: servers, clients and connections.

#[macro_use]
#[path = "../shared/support/mod.rs"]
mod support;
#[path = "../shared/peers.rs"]
mod peers;
#[path = "../shared/places.rs"]
mod places;
#[path = "../shared/servers.rs"]
mod servers;
#[path = "../shared/states.rs"]
#[allow(dead_code, reason = "another program uses the rest")]
mod states;
#[path = "../../../../scgi-proto/tests/flow/table.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod table;
#[path = "../shared/tool.rs"]
mod tool;

mod client_flow;
mod client_queue;
mod client_states;
mod client_upload;
mod conformance;
mod flow;
mod flow_states;
mod names;
mod options;
mod pairs;
mod run_on;
mod scripted;
mod upgrades;
