//! tokio: TCP on several threads, all else on one, as requests take another way there.

use std::future::Future;

use tokio::runtime::Builder;

super::async_runtime!("tokio", scgi_tokio, scgi_tokio::serve, block_on, block_on_server);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn block_on_server<T>(is_tcp: bool, future: impl Future<Output = T>) -> T {
    if is_tcp {
        Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(future)
    } else {
        block_on(future)
    }
}
