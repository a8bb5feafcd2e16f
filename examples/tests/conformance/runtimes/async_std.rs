//! async-std.

use std::future::Future;

use async_std::task::block_on;
use scgi_async_std::async_std::serve;

super::async_runtime!("async-std", scgi_async_std, serve, block_on, block_on_server);

fn block_on_server<T>(_: bool, future: impl Future<Output = T>) -> T {
    block_on(future)
}
