//! axum extractors for what SCGI knows beyond HTTP.
//!
//! `axum::extract::ConnectInfo<SocketAddr>` works too and is the browser's address, as the front
//! server sends it; nothing has to be done for that.

use ::http::StatusCode;
use ::http::request::Parts;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use scgi_proto::http::{ClientAddress, MountPoint};
use scgi_proto::{Params, Peer, ShutdownSignal};

macro_rules! extractor {
    ($(#[$doc:meta])* $name:ident($of:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(pub $of);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = StatusCode;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
                let found = parts.extensions.get().cloned();
                found.map(Self).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }

        impl<S: Sync> OptionalFromRequestParts<S> for $name {
            type Rejection = StatusCode;

            async fn from_request_parts(
                parts: &mut Parts,
                _: &S,
            ) -> Result<Option<Self>, StatusCode> {
                Ok(parts.extensions.get().cloned().map(Self))
            }
        }
    };
}

extractor! {
    /// All params of the request, as the front server sent them.
    ///
    /// Rejects with 500 what did not come over SCGI; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::ScgiParams;
    /// async fn software(ScgiParams(params): ScgiParams) -> String {
    ///     params.get_str("SERVER_SOFTWARE").unwrap_or("unknown").to_owned()
    /// }
    /// # let _ = software;
    /// ```
    ScgiParams(Params)
}

extractor! {
    /// The browser's address: REMOTE_ADDR and REMOTE_PORT.
    ///
    /// Rejects with 500 where the front server does not send it; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::Client;
    /// async fn address(Client(address): Client) -> String {
    ///     address.ip().to_string()
    /// }
    /// # let _ = address;
    /// ```
    Client(ClientAddress)
}

extractor! {
    /// The path that leads to this program: SCRIPT_NAME.
    ///
    /// Rejects with 500 where the front server does not send it; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::Mount;
    /// async fn home(Mount(mount): Mount) -> String {
    ///     format!("{mount}/")
    /// }
    /// # let _ = home;
    /// ```
    Mount(MountPoint)
}

extractor! {
    /// The program that connected: the front server's address, or on a Unix socket the user id
    /// and process id of it.
    ///
    /// Rejects with 500 what did not come over SCGI; an `Option` of it does not.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::extract::FrontServer;
    /// async fn who(FrontServer(peer): FrontServer) -> String {
    ///     peer.to_string()
    /// }
    /// # let _ = who;
    /// ```
    FrontServer(Peer)
}

extractor! {
    /// Completes when the server begins to stop: the end of a response that has none of its own,
    /// such as a stream of server-sent events. Otherwise a restart waits for it up to the shutdown
    /// deadline.
    ///
    /// Rejects with 500 what did not come over SCGI; an `Option` of it does not.
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
    Shutdown(ShutdownSignal)
}
