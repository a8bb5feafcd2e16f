//! The program on async-std.

use std::thread;

use async_std::task;
use scgi_async_std::async_std::serve;
use scgi_async_std::{Address, Listener};

use super::App;
use super::app::Way;

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

async_serve_one!(scgi_async_std, task::sleep, futures_util::AsyncRead, futures_util::AsyncWrite);

/// Starts it with accept loops of its own, and a thread for each stream.
pub(crate) fn app_by(way: Way) -> App {
    App::start(move |unix, ready| {
        task::block_on(async {
            let unix =
                async_std::os::unix::net::UnixListener::bind(unix).await.expect("a Unix listener");
            let tcp =
                async_std::net::TcpListener::bind("127.0.0.1:0").await.expect("a TCP listener");
            ready(tcp.local_addr().expect("its address"));
            let tcp = async {
                loop {
                    let (stream, _) = tcp.accept().await.expect("a stream");
                    thread::spawn(move || task::block_on(serve_one(way, stream)));
                }
            };
            let unix = async {
                loop {
                    let (stream, _) = unix.accept().await.expect("a stream");
                    thread::spawn(move || task::block_on(serve_one(way, stream)));
                }
            };
            futures_util::join!(tcp, unix);
        });
    })
}
