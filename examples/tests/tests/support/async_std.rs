//! The program on async-std.

use async_std::task;
use scgi_async_std::async_std::serve;
use scgi_async_std::{Address, Listener};

use super::App;

async_answer!(scgi_async_std, task::sleep);

/// Starts it.
pub(crate) fn app() -> App {
    App::start(|unix, ready| {
        task::block_on(async {
            let unix = Listener::bind(&Address::Unix(unix)).await.expect("a Unix listener");
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
            let address = tcp.local_addr().expect("its address");
            let tcp = task::spawn(serve(tcp, answer).into_future());
            let unix = task::spawn(serve(unix, answer).into_future());
            ready(address);
            let _ = (tcp.await, unix.await);
        });
    })
}
