//! How a client reaches a server: name, TCP, TLS, and the WebSocket upgrade.
//!
//! Layer: `net`. Shared by the clients of all dialects. Takes as long as the network does: whoever
//! calls has a deadline.

use super::client::ClientError;
use super::socket::{Meter, Metered, Socket, config};
#[cfg(feature = "tls")]
use super::tls::TlsRoots;
use super::transport::Transport;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri};

/// A socket of a client.
pub(super) type ClientSocket = Socket<Transport>;

/// A connection that is being opened.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Box<ClientSocket>, String>>>>;

/// Where to connect to, and what to say first.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `ws://` or `wss://`.
    pub url: String,
    /// The dialect's, if it has one; an answer without it is an error.
    pub subprotocol: Option<&'static str>,
    /// More headers of the request.
    pub headers: Vec<(String, String)>,
    /// Whom to believe; `None`: the machine's trust store.
    #[cfg(feature = "tls")]
    pub roots: Option<TlsRoots>,
    pub message_bytes_max: usize,
}

/// Refuses addresses this build cannot use.
pub(super) fn check_url(url: &str) -> Result<(), ClientError> {
    let uri: Uri = url
        .parse()
        .map_err(|error| ClientError::Url(format!("{error}")))?;
    let refuse = |why: &str| Err(ClientError::Url(why.to_owned()));
    match uri.scheme_str() {
        Some("wss") if cfg!(not(feature = "tls")) => refuse("this build has no TLS"),
        Some("ws" | "wss") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        Some("ws" | "wss") => refuse("it names no host"),
        _ => refuse("it does not start with ws:// or wss://"),
    }
}

/// Refuses headers that HTTP does not allow.
pub(super) fn check_headers(headers: &[(String, String)]) -> Result<(), ClientError> {
    for (name, value) in headers {
        let is_fine = name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value).is_ok();
        if !is_fine {
            return Err(ClientError::Url(format!("not a usable header: {name:?}")));
        }
    }
    Ok(())
}

/// Opens a connection.
pub(super) async fn dial(target: Target) -> Result<Box<ClientSocket>, String> {
    let mut request = target
        .url
        .as_str()
        .into_client_request()
        .map_err(|error| error.to_string())?;
    for (name, value) in &target.headers {
        let name: HeaderName = name.parse().map_err(|_| "not a usable header")?;
        let value = HeaderValue::from_str(value).map_err(|_| "not a usable header")?;
        request.headers_mut().append(name, value);
    }
    if let Some(subprotocol) = target.subprotocol {
        let value = HeaderValue::from_static(subprotocol);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    let uri = request.uri();
    let is_tls = uri.scheme_str() == Some("wss");
    let host = uri.host().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| error.to_string())?;
    // Without it small edits wait for the peer's delayed acknowledgement; failing is harmless.
    let _ = stream.set_nodelay(true);
    let stream = Metered::new(stream, [Arc::<Meter>::default(), Arc::default()]);
    let stream = match is_tls {
        false => Transport::Plain(stream),
        #[cfg(feature = "tls")]
        true => believe(target.roots)?.connect(&host, stream).await?,
        #[cfg(not(feature = "tls"))]
        true => return Err("this build has no TLS".to_owned()),
    };
    let config = config(target.message_bytes_max);
    let upgraded = client_async_with_config(request, stream, Some(config)).await;
    upgraded
        .map(|(stream, _)| Box::new(Socket::new(stream)))
        .map_err(|error| error.to_string())
}

#[cfg(feature = "tls")]
fn believe(roots: Option<TlsRoots>) -> Result<TlsRoots, String> {
    static PLATFORM: std::sync::OnceLock<TlsRoots> = std::sync::OnceLock::new();
    if let Some(roots) = roots.or_else(|| PLATFORM.get().cloned()) {
        return Ok(roots);
    }
    let roots = TlsRoots::platform().map_err(|error| error.to_string())?;
    Ok(PLATFORM.get_or_init(|| roots).clone())
}
