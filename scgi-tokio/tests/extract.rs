//! Extractors and prefixes, over SCGI and over plain HTTP.

#![cfg(feature = "axum")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, OriginalUri, Request as AxumRequest};
use axum::http::Uri;
use axum::routing::get;
use scgi_proto::server::RequestHandler;
use scgi_tokio::extract::{Client as Browser, FrontServer, Mount, ScgiParams, Scheme, Shutdown};
use scgi_tokio::{
    Client, ClientConfig, ConnectionConfig, Handler, IntoResponse, Listener, Mounted, Request,
    RequestHead, Response, ScgiBody, serve, serve_connection,
};
use tower::ServiceExt as _;

/// Status and body of what `handler` answers to GET `uri` with these params.
async fn ask<M>(handler: impl Handler<M>, uri: &str, params: &[(&str, &str)]) -> (u16, String) {
    let (near, far) = tokio::io::duplex(4096);
    let config = ConnectionConfig::default();
    let served = async { serve_connection(far, handler, &config).await.expect("served") };
    let builder = RequestHead::builder("GET", uri);
    let head = params.iter().fold(builder, |b, (name, value)| b.param(name, value)).build();
    let asked = async {
        let client = Client::new(near, &ClientConfig::default());
        let response = client.request(Request::new(head, "")).await.expect("a response");
        let status = response.status().code();
        let body = response.into_body().collect(1000).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    };
    tokio::join!(asked, served).0
}

/// The same over plain HTTP: a request without what SCGI adds.
async fn ask_plain(app: Router, uri: &str) -> (u16, String) {
    let request = AxumRequest::get(uri).body(Body::empty()).expect("a request");
    let response = app.oneshot(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

async fn places(Mount(mount): Mount, uri: Uri, OriginalUri(original): OriginalUri) -> String {
    format!("[{mount}] {uri} {original}")
}

#[tokio::test]
async fn one_process_serves_several_mounts() {
    let app = || Mounted::from_param("SCRIPT_NAME", Router::new().fallback(places));
    for (uri, prefix, expected) in [
        ("/a/x?q=1", "/a", "[/a] /x?q=1 /x?q=1"),
        ("/b/c/x", "/b/c/", "[/b/c] /x /x"),
        ("/a", "/a", "[/a] / /"),
        ("/my%20app/x", "/my app", "[/my%20app] /x /x"),
        ("/x", "", "[] /x /x"),
    ] {
        assert_eq!(ask(app(), uri, &[("SCRIPT_NAME", prefix)]).await, ok(expected), "{uri}");
    }
    assert_eq!(ask(app(), "/x", &[]).await, ok("[] /x /x"), "no such param");
    let (status, text) = ask(app(), "/ab/x", &[("SCRIPT_NAME", "/a")]).await;
    assert_eq!((status, text.as_str()), (404, "the path lies outside the mount point\n"));
    // Where SCRIPT_NAME is the whole path, another param has the prefix.
    let app = Mounted::from_param("MOUNT", Router::new().fallback(places));
    let params = [("SCRIPT_NAME", "/a/x"), ("MOUNT", "/a")];
    assert_eq!(ask(app, "/a/x", &params).await, ok("[/a] /x /x"));
}

#[tokio::test]
async fn a_nested_router_needs_no_param() {
    let app = || Router::new().nest("/a", Router::new().route("/x", get(places)));
    // nginx with the stock file sends no SCRIPT_NAME.
    assert_eq!(ask(app(), "/a/x", &[]).await, ok("[] /x /a/x"));
    assert_eq!(ask(app(), "/a/x", &[("SCRIPT_NAME", "/a")]).await, ok("[/a] /x /a/x"));
    assert_eq!(ask_plain(app(), "/a/x").await, ok("[] /x /a/x"));
}

#[tokio::test]
async fn schemes() {
    async fn scheme(Scheme(scheme): Scheme) -> String {
        scheme.to_string()
    }
    let app = || Router::new().route("/", get(scheme));
    for (params, expected) in [
        (&[("HTTPS", "on")][..], "https"),
        (&[("HTTPS", "off")], "http"),
        (&[("REQUEST_SCHEME", "https")], "https"),
        (&[("REQUEST_SCHEME", "http"), ("HTTPS", "")], "http"),
        (&[], "http"),
    ] {
        assert_eq!(ask(app(), "/", params).await, ok(expected), "{params:?}");
    }
    assert_eq!(ask_plain(app(), "/").await, ok("http"));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_rejection() {
    let app = || {
        Router::new()
            .route("/params", get(async |_: ScgiParams| "found"))
            .route("/client", get(async |_: Browser| "found"))
            .route("/front", get(async |_: FrontServer| "found"))
            .route("/shutdown", get(async |_: Shutdown| "found"))
            .route("/mount", get(async |Mount(mount): Mount| format!("[{mount}]")))
            .route("/mounted", get(async |mount: Option<Mount>| mount.is_some().to_string()))
    };
    let scgi = "this request did not come over SCGI";
    for (uri, text) in [
        ("/params", scgi),
        ("/client", "the front server sent no REMOTE_ADDR with an address"),
        ("/front", scgi),
        ("/shutdown", "this request did not come from `scgi_tokio::serve`"),
    ] {
        assert_eq!(ask_plain(app(), uri).await, (500, text.to_owned()), "{uri}");
    }
    assert_eq!(ask_plain(app(), "/mount").await, ok("[]"));
    assert_eq!(ask_plain(app(), "/mounted").await, ok("false"));
    assert_eq!(ask(app(), "/mounted", &[]).await, ok("true"));
    assert_eq!(ask(app(), "/params", &[]).await, ok("found"));
    let no_address = ask(app(), "/client", &[("REMOTE_ADDR", "unix:")]).await;
    assert_eq!(no_address.0, 500, "{}", no_address.1);
    assert_eq!(ask(app(), "/client", &[("REMOTE_ADDR", "::1")]).await, ok("found"));
}

#[tokio::test]
async fn a_socket_address_that_the_front_server_did_not_send() {
    async fn address(ConnectInfo(address): ConnectInfo<SocketAddr>) -> String {
        address.to_string()
    }
    let app = || {
        let app = Router::new().route("/", get(address));
        app.into_make_service_with_connect_info::<SocketAddr>()
    };
    for (params, expected) in [
        (&[][..], "0.0.0.0:0"),
        (&[("REMOTE_ADDR", "unix:")], "0.0.0.0:0"),
        (&[("REMOTE_ADDR", "192.0.2.1")], "192.0.2.1:0"),
        (&[("REMOTE_ADDR", "::1"), ("REMOTE_PORT", "5")], "[::1]:5"),
    ] {
        assert_eq!(ask(app(), "/", params).await, ok(expected), "{params:?}");
    }
}

/// A handler that is a type of the program, and one over the body of this crate.
#[tokio::test]
async fn other_handlers() {
    struct Hello;

    impl RequestHandler for Hello {
        type Body = scgi_tokio::Body;

        fn call(&self, _: Request) -> impl Future<Output: IntoResponse<Self::Body>> + Send {
            std::future::ready(Response::new("hello"))
        }
    }

    assert_eq!(ask(Hello, "/", &[]).await, ok("hello"));
    let service = tower::service_fn(async |request: http::Request<scgi_tokio::Body>| {
        let len = request.into_body().len();
        Ok::<_, Infallible>(http::Response::new(format!("{len:?}")))
    });
    assert_eq!(ask(ScgiBody(service), "/", &[]).await, ok("Some(0)"));
    let router = Router::new().route_service("/s", ScgiBody(service));
    assert_eq!(ask(router, "/s", &[]).await, ok("Some(0)"));
}

#[tokio::test]
async fn a_handler_learns_that_the_server_stops() {
    let app = Router::new().route(
        "/",
        get(async |Shutdown(signal): Shutdown| {
            signal.await;
            "stopped"
        }),
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
    let server = serve(listener, app.into_make_service());
    let address = server.local_addr().expect("an address");
    let stopped = async move { _ = stopped.await };
    let server = tokio::spawn(server.with_graceful_shutdown(stopped).into_future());
    let client = Client::connect(&address).await.expect("a server");
    let request = Request::new(RequestHead::builder("GET", "/").build(), "");
    let asked = tokio::spawn(client.request(request));
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.send(()).expect("the server runs");
    let response = asked.await.expect("no panic").expect("a response");
    assert_eq!(response.into_body().collect(100).await.expect("a body"), "stopped");
    let summary = server.await.expect("no panic").expect("no error");
    assert_eq!((summary.finished, summary.aborted), (1, 0), "{summary:?}");
}
