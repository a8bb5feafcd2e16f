//! The program on tokio.

use scgi_tokio::{Address, Listener, serve};
use tokio::runtime::Builder;

use super::App;
use super::app::Way;

async_answer!(scgi_tokio, tokio::time::sleep);

/// Starts it.
pub(crate) fn app() -> App {
    App::start(|unix, ready| {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let unix = Listener::bind(&Address::Unix(unix)).await.expect("a Unix listener");
            let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a TCP listener");
            let address = tcp.local_addr().expect("its address");
            let tcp = tokio::spawn(serve(tcp, answer).into_future());
            let unix = tokio::spawn(serve(unix, answer).into_future());
            ready(address);
            let _ = tokio::join!(tcp, unix);
        });
    })
}

async_serve_one!(scgi_tokio, tokio::time::sleep, tokio::io::AsyncRead, tokio::io::AsyncWrite);

/// Starts it with an accept loop of its own.
pub(crate) fn app_by(way: Way) -> App {
    App::start(move |unix, ready| {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let unix = tokio::net::UnixListener::bind(unix).expect("a Unix listener");
            let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a TCP listener");
            ready(tcp.local_addr().expect("its address"));
            loop {
                tokio::select! {
                    tcp = tcp.accept() => tokio::spawn(serve_one(way, tcp.expect("a stream").0)),
                    unix = unix.accept() => tokio::spawn(serve_one(way, unix.expect("a stream").0)),
                };
            }
        });
    })
}
