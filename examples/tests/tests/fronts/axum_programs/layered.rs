//! Programs with layers of tower-http around their routes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get as on_get, post as on_post};
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::services::{ServeDir, ServeFile};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::{Ask, Program, ask, get, post};

pub(super) fn programs() -> Vec<Program> {
    let program = |name, app, asks| Program { name, app, asks };
    vec![
        program("files", files, file_asks()),
        program("tracing", tracing, vec![get("/"), get("/missing"), ask("POST", "/")]),
        program("compression", compression, compression_asks()),
        program("cors", cors, cors_asks()),
        program("request-id", request_id, request_id_asks()),
        program("timeouts", timeouts, vec![get("/fast"), get("/slow")]),
        program("bodies", bodies, vec![post("/", "text/plain", "hello"), get("/")]),
        program("auth", auth, auth_asks()),
    ]
}

fn files(folder: &Path) -> Router {
    let assets = folder.join("assets");
    let home = ServeFile::new(assets.join("index.html"));
    Router::new()
        .nest_service("/assets", ServeDir::new(&assets))
        .route_service("/one", ServeFile::new(assets.join("css/site.css")))
        .fallback_service(ServeDir::new(assets).not_found_service(home))
}

fn file_asks() -> Vec<Ask> {
    vec![
        get("/"),
        get("/assets/"),
        get("/assets"),
        get("/css"),
        get("/css/site.css"),
        get("/a%20b.txt"),
        get("/one"),
        get("/missing.html"),
        get("/noise.bin"),
        ask("HEAD", "/noise.bin"),
        get("/noise.bin").with("range", "bytes=100-199"),
        get("/noise.bin").with("range", "bytes=-5"),
        get("/noise.bin").with("range", "bytes=900000-"),
        get("/css/site.css").with("if-modified-since", "Tue, 01 Jan 2036 00:00:00 GMT"),
        get("/css/site.css").with("if-unmodified-since", "Mon, 01 Jan 2001 00:00:00 GMT"),
        ask("POST", "/css/site.css"),
    ]
}

fn tracing(_: &Path) -> Router {
    let home = on_get(async || "hello");
    Router::new().route("/", home).layer(TraceLayer::new_for_http())
}

fn compression(_: &Path) -> Router {
    let text = async || "compress me ".repeat(2000);
    let small = async || "small";
    let stream = async || {
        let lines = (0..500).map(|n| Ok::<_, std::convert::Infallible>(format!("line {n}\n")));
        Body::from_stream(futures_util::stream::iter(lines))
    };
    Router::new()
        .route("/text", on_get(text))
        .route("/small", on_get(small))
        .route("/stream", on_get(stream))
        .route("/image", on_get(async || ([(header::CONTENT_TYPE, "image/png")], vec![7; 4000])))
        .layer(CompressionLayer::new())
}

fn compression_asks() -> Vec<Ask> {
    let zipped = |path| get(path).with("accept-encoding", "gzip");
    vec![
        zipped("/text"),
        get("/text").with("accept-encoding", "identity"),
        get("/text").with("accept-encoding", "br, zstd"),
        zipped("/small"),
        zipped("/stream"),
        zipped("/image"),
        Ask { method: "HEAD", ..zipped("/text") },
    ]
}

fn cors(_: &Path) -> Router {
    let own = CorsLayer::new()
        .allow_origin("http://localhost:3000".parse::<HeaderValue>().expect("a value"))
        .allow_methods([Method::GET, Method::PUT])
        .allow_headers([header::CONTENT_TYPE])
        .allow_credentials(true)
        .max_age(Duration::from_secs(60));
    let open = CorsLayer::new().allow_origin(Any).expose_headers([HeaderName::from_static("x-a")]);
    Router::new()
        .route("/json", on_get(async || "{}").layer(own))
        .route("/open", on_get(async || "open").layer(open))
}

fn cors_asks() -> Vec<Ask> {
    let preflight = |origin| {
        ask("OPTIONS", "/json")
            .with("origin", origin)
            .with("access-control-request-method", "PUT")
            .with("access-control-request-headers", "content-type")
    };
    vec![
        get("/json"),
        get("/json").with("origin", "http://localhost:3000"),
        get("/json").with("origin", "http://elsewhere.example"),
        preflight("http://localhost:3000"),
        preflight("http://elsewhere.example"),
        get("/open").with("origin", "null"),
    ]
}

#[derive(Clone, Default)]
struct Counting(Arc<AtomicU32>);

impl MakeRequestId for Counting {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let id = self.0.fetch_add(1, Ordering::SeqCst).to_string();
        Some(RequestId::new(id.parse().ok()?))
    }
}

fn request_id(_: &Path) -> Router {
    let name = HeaderName::from_static("x-request-id");
    let show = async |request: Request| {
        let id = request.extensions().get::<RequestId>().expect("the layer set it");
        format!("{:?}", id.header_value())
    };
    Router::new()
        .route("/", on_get(show))
        .layer(PropagateRequestIdLayer::new(name.clone()))
        .layer(SetRequestIdLayer::new(name, Counting::default()))
}

fn request_id_asks() -> Vec<Ask> {
    vec![get("/"), get("/"), get("/").with("x-request-id", "of-the-client"), get("/missing")]
}

fn timeouts(_: &Path) -> Router {
    let slow = async || tokio::time::sleep(Duration::from_secs(600)).await;
    let timeout = Duration::from_millis(300);
    Router::new()
        .route("/fast", on_get(async || "in time"))
        .route("/slow", on_get(slow))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, timeout))
}

/// A layer that reads both bodies and passes them on.
fn bodies(_: &Path) -> Router {
    async fn buffered(body: Body) -> Result<Vec<u8>, Response> {
        let bytes = to_bytes(body, 1 << 20).await;
        let bytes = bytes.map_err(|e| (StatusCode::BAD_REQUEST, e.to_string()).into_response())?;
        Ok(bytes.to_ascii_uppercase())
    }
    async fn around(request: Request, next: Next) -> Result<Response, Response> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, Body::from(buffered(body).await?));
        let (parts, body) = next.run(request).await.into_parts();
        let body = buffered(body).await?;
        Ok(([("x-len", body.len().to_string())], Response::from_parts(parts, Body::from(body)))
            .into_response())
    }
    Router::new()
        .route("/", on_post(async |body: String| format!("got {body}")))
        .layer(from_fn(around))
}

fn auth(_: &Path) -> Router {
    async fn check(State(password): State<&'static str>, request: Request, next: Next) -> Response {
        let given = request.headers().get(header::AUTHORIZATION);
        if given.is_some_and(|value| value == password) {
            return next.run(request).await;
        }
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"a\"")];
        (StatusCode::UNAUTHORIZED, ask, "who are you?").into_response()
    }
    Router::new()
        .route("/", on_get(async || "the secret"))
        .layer(from_fn_with_state("Basic YTpi", check))
}

fn auth_asks() -> Vec<Ask> {
    vec![
        get("/"),
        get("/").with("authorization", "Basic YTpi"),
        get("/").with("authorization", "Basic wrong"),
    ]
}
