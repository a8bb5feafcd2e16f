//! axum extractors for what SCGI knows beyond HTTP.
//!
//! `axum::extract::ConnectInfo<SocketAddr>` works too and is the browser's address, as the front
//! server sends it; nothing needs to be done for that.

use std::convert::Infallible;
use std::fmt;

use ::http::Extensions;
use ::http::StatusCode;
use ::http::request::Parts;
use ::http::uri;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use scgi_proto::http::{ClientAddress, MountPoint, RequestContext};
use scgi_proto::{Params, Peer, ShutdownSignal};

use crate::service::FromConnection;

/// Why an extractor of this module found nothing: a reply with status 500 and a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSent {
    text: &'static str,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl std::error::Error for NotSent {}

impl IntoResponse for NotSent {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.text).into_response()
    }
}

macro_rules! extractor {
    ($(#[$doc:meta])* $name:ident($of:ty), $found:expr, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(pub $of);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = NotSent;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotSent> {
                $found(&parts.extensions).map(Self).ok_or(NotSent { text: $text })
            }
        }

        impl<S: Sync> OptionalFromRequestParts<S> for $name {
            type Rejection = Infallible;

            async fn from_request_parts(
                parts: &mut Parts,
                _: &S,
            ) -> Result<Option<Self>, Infallible> {
                Ok($found(&parts.extensions).map(Self))
            }
        }
    };
}

/// What the head of a request that came over SCGI said.
fn context(extensions: &Extensions) -> Option<&RequestContext> {
    extensions.get()
}

fn params(extensions: &Extensions) -> Option<Params> {
    context(extensions).map(|context| context.params().clone())
}

// An extension of the type itself was put there by the program, and counts more.

fn client(extensions: &Extensions) -> Option<ClientAddress> {
    extensions.get().copied().or_else(|| context(extensions)?.client())
}

fn mount(extensions: &Extensions) -> Option<MountPoint> {
    extensions.get().cloned().or_else(|| context(extensions).map(RequestContext::mount_point))
}

fn scheme(extensions: &Extensions) -> Option<uri::Scheme> {
    extensions.get().cloned().or_else(|| context(extensions)?.scheme())
}

fn peer(extensions: &Extensions) -> Option<Peer> {
    extensions.get().copied().or_else(|| extensions.get::<FromConnection>()?.peer)
}

fn shutdown(extensions: &Extensions) -> Option<ShutdownSignal> {
    let connection = || Some(extensions.get::<FromConnection>()?.shutdown.clone());
    extensions.get().cloned().or_else(connection)
}

extractor! {
    /// All params of the request, as the front server sent them.
    ///
    /// Rejects with 500 and a text what did not come over SCGI; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::ScgiParams;
    /// async fn software(ScgiParams(params): ScgiParams) -> String {
    ///     params.get_str("SERVER_SOFTWARE").unwrap_or("unknown").to_owned()
    /// }
    /// # let _ = software;
    /// ```
    ScgiParams(Params), params, "this request did not come over SCGI"
}

extractor! {
    /// The browser's address: REMOTE_ADDR and REMOTE_PORT.
    ///
    /// Rejects with 500 and a text where the front server does not send it; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::Client;
    /// async fn address(Client(address): Client) -> String {
    ///     address.ip().to_string()
    /// }
    /// # let _ = address;
    /// ```
    Client(ClientAddress), client, "the front server sent no REMOTE_ADDR with an address"
}

/// The path that leads to this program: the prefix that [`Mounted`](crate::Mounted) took off,
/// otherwise SCRIPT_NAME. Empty where there is none, and over plain HTTP.
///
/// # Examples
/// ```
/// use scgi_tokio::extract::Mount;
/// async fn home(Mount(mount): Mount) -> String {
///     format!("{mount}/")
/// }
/// # let _ = home;
/// ```
#[derive(Debug, Clone, Default)]
pub struct Mount(pub MountPoint);

impl<S: Sync> FromRequestParts<S> for Mount {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(mount(&parts.extensions).unwrap_or_default()))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Mount {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(mount(&parts.extensions).map(Self))
    }
}

/// The scheme by which the browser came: `https` if the front server says so in HTTPS or
/// REQUEST_SCHEME, otherwise `http`. Over plain HTTP it is `http`.
///
/// # Examples
/// ```
/// use axum::http::uri::Scheme as Uri;
/// use scgi_tokio::extract::Scheme;
/// async fn is_secure(Scheme(scheme): Scheme) -> String {
///     (scheme == Uri::HTTPS).to_string()
/// }
/// # let _ = is_secure;
/// ```
#[derive(Debug, Clone)]
pub struct Scheme(pub uri::Scheme);

impl<S: Sync> FromRequestParts<S> for Scheme {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(scheme(&parts.extensions).unwrap_or(uri::Scheme::HTTP)))
    }
}

extractor! {
    /// The program that connected: the front server's address, or on a Unix socket the user id
    /// and process id of it.
    ///
    /// Rejects with 500 and a text what did not come over SCGI; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::FrontServer;
    /// async fn who(FrontServer(peer): FrontServer) -> String {
    ///     peer.to_string()
    /// }
    /// # let _ = who;
    /// ```
    FrontServer(Peer), peer, "this request did not come over SCGI"
}

extractor! {
    /// Completes when the server begins to stop: the end of a response that has none of its own,
    /// such as a stream of server-sent events. Otherwise a restart waits for it up to the shutdown
    /// deadline.
    ///
    /// Rejects with 500 and a text what did not come over SCGI; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::Shutdown;
    /// async fn wait(Shutdown(signal): Shutdown) -> &'static str {
    ///     signal.await;
    ///     "the server stops"
    /// }
    /// # let _ = wait;
    /// ```
    Shutdown(ShutdownSignal), shutdown, "this request did not come from `scgi_tokio::serve`"
}
