//! `serve` and `Client` against each other, over real sockets.

use bytes::Bytes;
use scgi_tokio::{Address, Client, Error, Listener, Request, RequestHead, Response, serve};

async fn start<M: 'static>(handler: impl scgi_tokio::Handler<M>) -> Address {
    let listener =
        Listener::bind(&"127.0.0.1:0".parse().expect("an address")).await.expect("bound");
    let address = listener.local_address().expect("its address");
    tokio::spawn(serve(listener, handler).into_future());
    address
}

#[tokio::test]
async fn a_large_body_is_echoed_as_it_comes() -> Result<(), Error> {
    let address = start(async |request: Request| Response::new(request.into_body())).await;
    let body = Bytes::from(vec![7_u8; 3_000_000]);
    let client = Client::connect(&address).await?;
    let head = RequestHead::builder("POST", "/").build();
    let response = client.request(Request::new(head, body.clone())).await?;
    let echoed = response.into_body().collect(4 << 20).await?;
    assert!(echoed == body, "{} bytes", echoed.len());
    Ok(())
}
