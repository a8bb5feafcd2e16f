//! Programs of routes and extractors.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Multipart, Path as UrlPath, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use axum::routing::{any, delete, get as on_get, post as on_post};
use axum::{Form, Json, Router};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Ask, Program, ask, get, post};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

pub(super) fn programs() -> Vec<Program> {
    let program = |name, app, asks| Program { name, app, asks };
    vec![
        program("routing", routing, routing_asks()),
        program("state", key_value_store, key_value_asks()),
        program("todos", todos, todo_asks()),
        program("errors", errors, error_asks()),
        program("form", form, form_asks()),
        program("multipart", multipart, multipart_asks()),
        program("sessions", sessions, session_asks()),
        program("events", events, vec![get("/sse"), get("/sse-named")]),
        program("streams", streams, stream_asks()),
        program("versions", versions, vec![get("/v1/foo"), get("/v2/foo?n=3"), get("/v9/foo")]),
        program("heads", heads, vec![get("/get-head"), ask("HEAD", "/get-head")]),
    ]
}

/// What the program `files` shows.
pub(super) fn write_files(folder: &Path) {
    let assets = folder.join("assets");
    fs::create_dir_all(assets.join("css")).expect("a folder");
    fs::write(assets.join("index.html"), "<p>home").expect("written");
    fs::write(assets.join("css/site.css"), "p { color: red }").expect("written");
    fs::write(assets.join("a b.txt"), "a name with a space").expect("written");
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    fs::write(assets.join("noise.bin"), noise).expect("written");
}

fn routing(_: &Path) -> Router {
    #[derive(Deserialize)]
    struct Page {
        page: Option<u32>,
        q: Option<String>,
    }
    let search = async |Query(Page { page, q }): Query<Page>| format!("{page:?} {q:?}");
    let user = async |UrlPath((id, name)): UrlPath<(u64, String)>| format!("{id} {name}");
    let files = async |UrlPath(rest): UrlPath<String>| format!("[{rest}]");
    let whole = async |uri: Uri, headers: HeaderMap| {
        let agent = headers.get("user-agent").is_some();
        format!("{uri} {agent} {:?}", headers.get("accept-language"))
    };
    Router::new()
        .route("/", on_get(|| async { Html("<h1>Hello</h1>") }))
        .route("/search", on_get(search))
        .route("/users/{id}/{name}", on_get(user).delete(|| async { StatusCode::NO_CONTENT }))
        .route("/files/{*rest}", on_get(files))
        .route("/whole", any(whole))
        .route("/moved", on_get(|| async { Redirect::permanent("/search?q=moved") }))
        .route("/seen", on_get(|| async { Redirect::to("https://example.org/seen") }))
        .nest("/api", Router::new().route("/ping", on_get(|| async { "pong" })))
        .fallback(async |uri: Uri| (StatusCode::NOT_FOUND, format!("no route for {uri}")))
}

fn routing_asks() -> Vec<Ask> {
    vec![
        get("/"),
        get("/search"),
        get("/search?page=2&q=a%20b%2Bc+d"),
        get("/search?page=x"),
        get("/users/7/J%C3%BCrgen"),
        get("/users/x/name"),
        ask("DELETE", "/users/7/a"),
        ask("PUT", "/users/7/a"),
        get("/files/a/b%2Fc/d"),
        get("/whole?x=1&y=%E2%82%AC").with("accept-language", "de, en;q=0.5"),
        ask("OPTIONS", "/whole"),
        get("/moved"),
        get("/seen"),
        get("/api/ping"),
        get("/api/pong"),
        ask("HEAD", "/"),
        get("//double//slash"),
    ]
}

fn key_value_store(_: &Path) -> Router {
    type Store = Arc<RwLock<HashMap<String, Bytes>>>;
    async fn read(
        State(store): State<Store>,
        UrlPath(key): UrlPath<String>,
    ) -> Result<Bytes, StatusCode> {
        store.read().expect("no panic").get(&key).cloned().ok_or(StatusCode::NOT_FOUND)
    }
    async fn write(State(store): State<Store>, UrlPath(key): UrlPath<String>, value: Bytes) {
        store.write().expect("no panic").insert(key, value);
    }
    async fn list(State(store): State<Store>) -> String {
        let mut keys: Vec<_> = store.read().expect("no panic").keys().cloned().collect();
        keys.sort();
        keys.join("\n")
    }
    async fn remove(State(store): State<Store>, UrlPath(key): UrlPath<String>) {
        store.write().expect("no panic").remove(&key);
    }
    Router::new()
        .route("/{key}", on_get(read).post(write).layer(DefaultBodyLimit::max(1000)))
        .route("/keys", on_get(list))
        .route("/admin/key/{key}", delete(remove))
        .with_state(Store::default())
}

fn key_value_asks() -> Vec<Ask> {
    vec![
        get("/a"),
        post("/a", "application/octet-stream", "one"),
        post("/b", "application/octet-stream", vec![0, 255, 10, 13]),
        get("/a"),
        get("/b"),
        get("/keys"),
        post("/c", "application/octet-stream", vec![b'x'; 1001]),
        ask("DELETE", "/admin/key/a"),
        get("/keys"),
    ]
}

#[derive(Clone, Serialize, Deserialize)]
struct Todo {
    #[serde(default)]
    id: usize,
    text: String,
    #[serde(default)]
    completed: bool,
}

fn todos(_: &Path) -> Router {
    type Todos = Arc<Mutex<Vec<Todo>>>;
    async fn create(State(todos): State<Todos>, Json(todo): Json<Todo>) -> impl IntoResponse {
        let mut todos = todos.lock().expect("no panic");
        let todo = Todo { id: todos.len(), ..todo };
        todos.push(todo.clone());
        (StatusCode::CREATED, [(header::LOCATION, format!("/todos/{}", todo.id))], Json(todo))
    }
    async fn list(State(todos): State<Todos>) -> Json<Vec<Todo>> {
        Json(todos.lock().expect("no panic").clone())
    }
    async fn update(
        State(todos): State<Todos>,
        UrlPath(id): UrlPath<usize>,
        Json(new): Json<Todo>,
    ) -> Result<Json<Todo>, StatusCode> {
        let mut todos = todos.lock().expect("no panic");
        let todo = todos.get_mut(id).ok_or(StatusCode::NOT_FOUND)?;
        *todo = Todo { id, ..new };
        Ok(Json(todo.clone()))
    }
    Router::new()
        .route("/todos", on_get(list).post(create))
        .route("/todos/{id}", axum::routing::patch(update))
        .with_state(Todos::default())
}

fn todo_asks() -> Vec<Ask> {
    let patch = |path, body: &str| Ask { method: "PATCH", ..post(path, JSON, body) };
    vec![
        get("/todos"),
        post("/todos", JSON, r#"{"text":"écrire"}"#),
        post("/todos", JSON, r#"{"text":3}"#),
        post("/todos", JSON, "{"),
        post("/todos", "text/plain", r#"{"text":"a"}"#),
        patch("/todos/0", r#"{"text":"done","completed":true}"#),
        patch("/todos/9", r#"{"text":"none"}"#),
        get("/todos"),
        ask("DELETE", "/todos"),
    ]
}

/// An error type of the program, and a rejection in its words.
fn errors(_: &Path) -> Router {
    enum AppError {
        Json(JsonRejection),
        Parse(std::num::ParseIntError),
    }
    impl From<JsonRejection> for AppError {
        fn from(rejection: JsonRejection) -> Self {
            Self::Json(rejection)
        }
    }
    impl From<std::num::ParseIntError> for AppError {
        fn from(error: std::num::ParseIntError) -> Self {
            Self::Parse(error)
        }
    }
    impl IntoResponse for AppError {
        fn into_response(self) -> Response {
            let (status, message) = match self {
                Self::Json(rejection) => (rejection.status(), rejection.body_text()),
                Self::Parse(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            };
            (status, Json(json!({ "message": message }))).into_response()
        }
    }
    async fn sum(body: Result<Json<Vec<i32>>, JsonRejection>) -> Result<String, AppError> {
        let Json(numbers) = body?;
        Ok(numbers.iter().sum::<i32>().to_string())
    }
    async fn number(text: String) -> Result<String, AppError> {
        let number: i32 = text.parse()?;
        Ok(number.to_string())
    }
    let teapot = (StatusCode::IM_A_TEAPOT, [("x-reason", "short and stout")], "tea");
    Router::new()
        .route("/sum", on_post(sum))
        .route("/number", on_post(number))
        .route("/teapot", on_get(async move || teapot))
        .route("/empty", on_get(async || StatusCode::BAD_GATEWAY))
}

fn error_asks() -> Vec<Ask> {
    vec![
        post("/sum", JSON, "[1,2,3]"),
        post("/sum", JSON, "[1,2,"),
        post("/sum", JSON, "{}"),
        post("/sum", "text/plain", "[]"),
        post("/number", "text/plain", "42"),
        post("/number", "text/plain", "forty-two"),
        post("/number", "text/plain", vec![0xff]),
        get("/teapot"),
        get("/empty"),
        get("/sum"),
    ]
}

fn form(_: &Path) -> Router {
    #[derive(Deserialize)]
    struct Input {
        name: String,
        email: String,
    }
    async fn accept(Form(Input { name, email }): Form<Input>) -> Html<String> {
        Html(format!("email='{email}'\nname='{name}'\n"))
    }
    let page = "<form action=\"/\" method=\"post\"><input name=\"name\"></form>";
    Router::new()
        .route("/", on_get(async move || Html(page)).post(accept))
        .route("/query", on_get(accept))
}

fn form_asks() -> Vec<Ask> {
    vec![
        get("/"),
        post("/", FORM, "name=J%C3%BCrgen+M&email=a%40b.org"),
        post("/", FORM, "name=only"),
        post("/", JSON, "{}"),
        post("/", FORM, ""),
        get("/query?name=a&email=b"),
        get("/query?name=a"),
    ]
}

fn multipart(_: &Path) -> Router {
    async fn accept(mut multipart: Multipart) -> Result<String, (StatusCode, String)> {
        let mut text = String::new();
        let failed =
            |error: axum::extract::multipart::MultipartError| (error.status(), error.body_text());
        while let Some(field) = multipart.next_field().await.map_err(failed)? {
            let name = format!("{:?} {:?}", field.name(), field.file_name());
            let kind = format!("{:?}", field.content_type());
            let bytes = field.bytes().await.map_err(failed)?;
            text += &format!("{name} {kind} {}\n", bytes.len());
        }
        Ok(text)
    }
    Router::new().route("/", on_post(accept).layer(DefaultBodyLimit::max(300_000)))
}

fn multipart_asks() -> Vec<Ask> {
    const KIND: &str = "multipart/form-data; boundary=frontier";
    let body = |size: usize| {
        let mut body = b"--frontier\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
            --frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b c.bin\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n"
            .to_vec();
        body.extend(std::iter::repeat_n(b'z', size));
        body.extend(b"\r\n--frontier--\r\n");
        body
    };
    vec![
        post("/", KIND, body(10)),
        post("/", KIND, body(200_000)),
        post("/", KIND, body(400_000)),
        post("/", KIND, "--frontier\r\n"),
        post("/", "multipart/form-data", body(1)),
        post("/", FORM, "a=b"),
    ]
}

/// A login, its cookie, and the page behind it.
fn sessions(_: &Path) -> Router {
    #[derive(Deserialize)]
    struct Login {
        name: String,
    }
    type Sessions = Arc<Mutex<Vec<String>>>;
    async fn login(
        State(sessions): State<Sessions>,
        jar: CookieJar,
        Form(Login { name }): Form<Login>,
    ) -> (CookieJar, Redirect) {
        let mut sessions = sessions.lock().expect("no panic");
        sessions.push(name);
        let id = format!("s{}", sessions.len());
        let cookie = Cookie::build(("session", id)).path("/").http_only(true);
        let jar = jar.add(cookie.same_site(SameSite::Lax)).add(("theme", "dark"));
        (jar, Redirect::to("/"))
    }
    async fn page(State(sessions): State<Sessions>, jar: CookieJar) -> Response {
        let session = jar.get("session").map(Cookie::value).unwrap_or_default();
        let number = session.strip_prefix('s').and_then(|n| n.parse::<usize>().ok());
        let sessions = sessions.lock().expect("no panic");
        match number.and_then(|n| sessions.get(n.checked_sub(1)?)) {
            Some(name) => format!("hello {name}, {} cookies", jar.iter().count()).into_response(),
            None => (StatusCode::UNAUTHORIZED, Redirect::to("/login")).into_response(),
        }
    }
    async fn logout(jar: CookieJar) -> (CookieJar, Redirect) {
        (jar.remove("session"), Redirect::to("/login"))
    }
    Router::new()
        .route("/", on_get(page))
        .route("/login", on_post(login))
        .route("/logout", on_get(logout))
        .with_state(Sessions::default())
}

fn session_asks() -> Vec<Ask> {
    vec![
        get("/"),
        post("/login", FORM, "name=ada"),
        get("/").with("cookie", "session=s1; theme=dark"),
        get("/").with("cookie", "theme=dark").with("cookie", "session=s1"),
        get("/").with("cookie", "session=s9"),
        get("/logout").with("cookie", "session=s1"),
    ]
}

fn events(_: &Path) -> Router {
    let plain = async || {
        let events =
            stream::iter(0..4).map(|n| Ok::<_, Infallible>(Event::default().data(n.to_string())));
        Sse::new(events).keep_alive(KeepAlive::default())
    };
    let named = async || {
        let event = Event::default().event("greeting").id("7").data("two\nlines").comment("why");
        Sse::new(stream::iter([Ok::<_, Infallible>(event)]))
    };
    Router::new().route("/sse", on_get(plain)).route("/sse-named", on_get(named))
}

fn streams(_: &Path) -> Router {
    async fn count(body: Body) -> Result<String, StatusCode> {
        let mut chunks = body.into_data_stream();
        let (mut len, mut sum) = (0, 0_u64);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
            len += chunk.len();
            sum += chunk.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        Ok(format!("{len} {sum}"))
    }
    let numbers = async || {
        let lines = (0..20_000).map(|n| Ok::<_, Infallible>(format!("{n}\n")));
        (
            AppendHeaders([(header::CONTENT_TYPE, "text/csv")]),
            Body::from_stream(stream::iter(lines)),
        )
    };
    let slow = async || {
        let pieces = stream::unfold(0, async |n| {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            (n < 3).then(|| (Ok::<_, Infallible>(format!("piece {n}\n")), n + 1))
        });
        Body::from_stream(pieces)
    };
    Router::new()
        .route("/count", on_post(count))
        .route("/echo", on_post(async |body: Body| body))
        .route("/numbers", on_get(numbers))
        .route("/slow", on_get(slow))
        .layer(DefaultBodyLimit::disable())
}

fn stream_asks() -> Vec<Ask> {
    let kind = "application/octet-stream";
    vec![
        post("/count", kind, vec![1; 3_000_000]),
        post("/count", kind, ""),
        post("/echo", kind, vec![b'e'; 100_000]),
        post("/echo", kind, ""),
        get("/numbers"),
        ask("HEAD", "/numbers"),
        get("/slow"),
    ]
}

/// An extractor of the program.
fn versions(_: &Path) -> Router {
    #[derive(Debug)]
    enum Version {
        V1,
        V2,
    }
    impl<S: Send + Sync> FromRequestParts<S> for Version {
        type Rejection = Response;

        async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
            let path = UrlPath::<HashMap<String, String>>::from_request_parts(parts, state).await;
            let UrlPath(params) = path.map_err(IntoResponse::into_response)?;
            match params.get("version").map(String::as_str) {
                Some("v1") => Ok(Self::V1),
                Some("v2") => Ok(Self::V2),
                _ => Err((StatusCode::NOT_FOUND, "unknown version").into_response()),
            }
        }
    }
    Router::new().route("/{version}/foo", on_get(async |version: Version| format!("{version:?}")))
}

/// A handler that answers HEAD itself.
fn heads(_: &Path) -> Router {
    async fn get_head(method: axum::http::Method) -> Response {
        if method == axum::http::Method::HEAD {
            return ([("x-some-header", "header from HEAD")]).into_response();
        }
        ([("x-some-header", "header from GET")], "body from GET").into_response()
    }
    Router::new().route("/get-head", on_get(get_head))
}
