//! The program `scgi`, one module for each command, with servers and clients written by others.

#[path = "../shared/scgi_proxy.rs"]
mod scgi_proxy;
#[path = "../shared/tool.rs"]
mod tool;
#[path = "../shared/watch.rs"]
mod watch;
#[path = "../shared/websocket_app.rs"]
mod websocket_app;
#[path = "../shared/websocket_client.rs"]
mod websocket_client;

mod check;
mod check_peers;
mod decode;
mod echo;
mod gateway;
mod manual;
mod peers;
mod proxy;
mod request;
mod request_retry;
mod request_verbose;
mod terminal;
mod upgrade;
mod upgrade_check;
mod upgrade_proxy;
