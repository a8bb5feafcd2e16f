//! smol.

use std::future::Future;

use scgi_async_std::smol::serve;
use smol::block_on;

super::async_runtime!("smol", scgi_async_std, serve, block_on, block_on_server);

fn block_on_server<T>(_: bool, future: impl Future<Output = T>) -> T {
    block_on(future)
}
