//! A form with state in axum: a guest book. The same app would run with `axum::serve`.
//!
//! Run: `cargo run -p scgi-examples --features axum --example form -- 127.0.0.1:4000`,
//! behind a front server or `scgi gateway 127.0.0.1:8080 127.0.0.1:4000`.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, State};
use axum::response::{Html, Redirect};
use axum::routing::get;
use scgi_examples::{BoxError, address, html};
use scgi_tokio::{Listener, serve};
use serde::Deserialize;

/// Entries that are kept; older ones are dropped.
const ENTRIES: usize = 100;

type Book = Arc<Mutex<Vec<String>>>;

#[derive(Deserialize)]
struct Entry {
    text: String,
}

async fn show(State(book): State<Book>) -> Html<String> {
    let book = book.lock().expect("no handler panics with the lock");
    let entries: String =
        book.iter().map(|text| format!("<li>{}", html(text.as_bytes()))).collect();
    Html(format!(
        "<!DOCTYPE html><title>Guest book</title>\
         <form method=post><input name=text><button>Write</button></form><ul>{entries}</ul>"
    ))
}

async fn write(State(book): State<Book>, Form(entry): Form<Entry>) -> Redirect {
    let mut book = book.lock().expect("no handler panics with the lock");
    book.insert(0, entry.text);
    book.truncate(ENTRIES);
    // The browser asks again with GET, so that a reload does not send the form twice.
    Redirect::to("./")
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = Router::new().route("/", get(show).post(write)).with_state(Book::default());
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, app).await?;
    Ok(())
}
