//! Server and client in one process, over a Unix socket and over TCP: prints both exchanges.
//!
//! Needs nothing installed: `cargo run -p scgi-examples --example demo`

use scgi_examples::{BoxError, page};
use scgi_tokio::{Address, Client, Error, Listener, Request, RequestHead, Response, serve};
use tokio::sync::oneshot;

async fn answer(request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    println!("  server: got a request\n{}", indent(&head.params().to_string()));
    let body = body.collect(1 << 20).await?;
    let page = page(head.params(), &body);
    Ok(Response::new(page).with_field("Content-Type", "text/html; charset=utf-8"))
}

/// Starts a server on `address`, sends it one request, and stops it.
async fn exchange(address: &Address) -> Result<(), BoxError> {
    let listener = Listener::bind(address).await?;
    let address = listener.local_address()?;
    println!("Listening on {address}");
    let (stop, stopped) = oneshot::channel();
    let server = serve(listener, answer).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());

    println!("Connecting to {address}");
    let client = Client::connect(&address).await?;
    let head = RequestHead::builder("POST", "/demo?lang=en")
        .param("CONTENT_TYPE", "application/json")
        .build();
    let response = client.request(Request::new(head, r#"{"hello":"scgi"}"#)).await?;
    println!("  client: got {}", response.status());
    let body = response.into_body().collect(1 << 20).await?;
    println!("{}", indent(&String::from_utf8_lossy(&body)));

    let _ = stop.send(());
    println!("{:?}\n", server.await??);
    Ok(())
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    #[cfg(unix)]
    {
        let name = format!("scgi-demo-{}.sock", std::process::id());
        exchange(&Address::Unix(std::env::temp_dir().join(name))).await?;
    }
    exchange(&Address::Tcp("127.0.0.1:0".into())).await
}
