//! Upload and download of files: bodies of any size flow in chunks, so that memory stays small.
//!
//! Run: `cargo run -p scgi-examples --example files -- 127.0.0.1:4000 FOLDER`
//! Upload: `scgi request 127.0.0.1:4000 /notes.txt -X PUT -d hello`
//! Download: `scgi request 127.0.0.1:4000 /notes.txt`

use std::path::{Path, PathBuf};

use scgi_examples::{BoxError, address};
use scgi_tokio::{Body, Listener, Request, Response, Status, serve};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// The largest upload, in bytes. nginx has a limit too: `client_max_body_size`, 1 MiB by default.
const UPLOAD_LIMIT: u64 = 20 << 20;

/// The file that a URI names. A name is letters, digits, `-`, `_` and single dots, so it cannot
/// lead out of the folder.
fn file(folder: &Path, uri: &[u8]) -> Option<PathBuf> {
    let path = uri.split(|&byte| byte == b'?').next()?;
    let name = std::str::from_utf8(path.strip_prefix(b"/")?).ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_safe = !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain);
    is_safe.then(|| folder.join(name))
}

async fn upload(path: PathBuf, mut body: Body) -> Result<Response, BoxError> {
    if body.len().is_none_or(|len| len > UPLOAD_LIMIT) {
        return Ok(Response::new("the file is too large\n").with_status(Status::CONTENT_TOO_LARGE));
    }
    // Under a name of its own until it is complete: no one reads half a file.
    let part = path.with_extension("part");
    let mut target = File::create(&part).await?;
    while let Some(chunk) = body.chunk().await? {
        target.write_all(&chunk).await?;
    }
    target.sync_all().await?;
    tokio::fs::rename(part, path).await?;
    Ok(Response::new("stored\n").with_status(Status::CREATED))
}

async fn download(path: PathBuf) -> Result<Response, BoxError> {
    let Ok(source) = File::open(path).await else {
        return Ok(Response::new("there is no such file\n").with_status(Status::NOT_FOUND));
    };
    let len = source.metadata().await?.len();
    let body = Body::from_reader(source).with_len(len);
    Ok(Response::new(body).with_field("Content-Type", "application/octet-stream"))
}

async fn answer(folder: PathBuf, request: Request) -> Result<Response, BoxError> {
    let (head, body) = request.into_parts();
    let Some(path) = file(&folder, head.request_uri().unwrap_or_default()) else {
        return Ok(Response::new("not a file name\n").with_status(Status::BAD_REQUEST));
    };
    match head.method() {
        Some(b"PUT") => upload(path, body).await,
        Some(b"GET" | b"HEAD") => download(path).await,
        _ => Ok(Response::new("use GET or PUT\n").with_status(Status::METHOD_NOT_ALLOWED)),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let folder = PathBuf::from(std::env::args_os().nth(2).ok_or("usage: files ADDR FOLDER")?);
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, move |request| answer(folder.clone(), request)).await?;
    Ok(())
}
