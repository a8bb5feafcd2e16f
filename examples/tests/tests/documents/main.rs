//! What the documents promise: configurations, examples, features and links.

#[path = "../shared/tool.rs"]
mod tool;

mod event_loop;
mod examples;
mod features;
mod links;
mod readme;
