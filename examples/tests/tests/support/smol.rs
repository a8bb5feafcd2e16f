//! The program on smol.

use scgi_async_std::smol::serve;
use scgi_async_std::{Address, Listener};

use super::App;

async_answer!(scgi_async_std, sleep);

async fn sleep(time: std::time::Duration) {
    smol::Timer::after(time).await;
}

/// Starts it.
pub(crate) fn app() -> App {
    App::start(|unix, ready| {
        smol::block_on(async {
            let unix = Listener::bind(&Address::Unix(unix)).await.expect("a Unix listener");
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
            let address = tcp.local_addr().expect("its address");
            let tcp = smol::spawn(serve(tcp, answer).into_future());
            let unix = smol::spawn(serve(unix, answer).into_future());
            ready(address);
            let _ = (tcp.await, unix.await);
        });
    })
}
