//! Guides to what only this crate has. The others are in [`scgi_proto::guide`].

#[doc = include_str!("axum.md")]
pub mod axum {}
