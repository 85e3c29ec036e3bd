//! The head of an HTTP request: read from a socket within bounds, and answered.
//!
//! Layer: `net`. Only what a WebSocket server needs of HTTP: one request per connection, no body.

use std::fmt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::server as handshake;
use tokio_tungstenite::tungstenite::http;

/// Header lines of one request.
const HEADERS_MAX: usize = 100;
const READ_BYTES: usize = 1024;

/// What a request says. Names of headers are in lower case.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RequestHead {
    /// Of the target, before the question mark; as it was sent, percent-encoded.
    pub path: String,
    /// Behind the question mark; as it was sent. May hold a token.
    pub query: String,
    /// Names and values, in their order. Values that are no UTF-8 are left out.
    pub headers: Vec<(String, String)>,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// The peer ended before the head did.
    Incomplete,
    /// More bytes or lines than the limit.
    TooLarge,
    /// Not HTTP, or no GET.
    Malformed,
}

/// A request with what came behind its head.
pub(super) struct Received {
    pub head: RequestHead,
    pub rest: Vec<u8>,
}

impl RequestHead {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first parameter of the query with this name, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self
            .query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) => (key, value),
                None => (pair, ""),
            });
        let (_, value) = pairs.find(|(key, _)| percent_decoded(key) == name)?;
        Some(percent_decoded(value))
    }

    /// What shows who asks: the parameter `token` or `auth`, or `Authorization: Bearer`.
    pub fn token(&self) -> Option<String> {
        let parameter = self.parameter("token").or_else(|| self.parameter("auth"));
        parameter.or_else(|| {
            let (scheme, token) = self.header("authorization")?.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        })
    }

    /// The WebSocket subprotocols that the client offers, the preferred one first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter();
        headers
            .filter(|(name, _)| name == "sec-websocket-protocol")
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
    }

    /// Whether a WebSocket is asked for.
    pub(super) fn is_upgrade(&self) -> bool {
        self.header("upgrade")
            .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }
}

/// Without the query, which may hold a token.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GET {}", self.path)
    }
}

/// Reads until the head is complete.
pub(super) async fn read_head<S>(stream: &mut S, bytes_max: usize) -> Result<Received, HeadError>
where
    S: AsyncRead + Unpin,
{
    let mut received = Vec::with_capacity(READ_BYTES);
    loop {
        let before = received.len();
        let room = (bytes_max + 1 - before).min(READ_BYTES) as u64;
        let read = (&mut *stream).take(room).read_buf(&mut received).await;
        if !matches!(read, Ok(1..)) {
            return Err(HeadError::Incomplete);
        }
        // Parsed again only when a line may have ended: a head that trickles in stays cheap.
        if !received[before..].contains(&b'\n') && received.len() <= bytes_max {
            continue;
        }
        if let Some((head, len)) = parse(&received)? {
            if len > bytes_max {
                return Err(HeadError::TooLarge);
            }
            let rest = received.split_off(len);
            return Ok(Received { head, rest });
        }
        if received.len() > bytes_max {
            return Err(HeadError::TooLarge);
        }
    }
}

/// The head and its length, if it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(_) => return Err(HeadError::Malformed),
    };
    let (Some("GET"), Some(1), Some(target)) = (request.method, request.version, request.path)
    else {
        return Err(HeadError::Malformed);
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = request.headers.iter().filter_map(|header| {
        let value = std::str::from_utf8(header.value).ok()?;
        Some((header.name.to_ascii_lowercase(), value.to_owned()))
    });
    let head = RequestHead {
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
    };
    Ok(Some((head, len)))
}

/// Agrees to the WebSocket that a request asks for. `None`: it does not ask properly.
pub(super) fn accept_upgrade(head: &RequestHead, subprotocol: Option<&str>) -> Option<Vec<u8>> {
    let mut request = http::Request::builder()
        .method("GET")
        .version(http::Version::HTTP_11);
    for (name, value) in &head.headers {
        request = request.header(name, value);
    }
    let mut response = handshake::create_response(&request.body(()).ok()?).ok()?;
    if let Some(subprotocol) = subprotocol {
        let value = http::HeaderValue::from_str(subprotocol).ok()?;
        response
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    let mut bytes = Vec::new();
    handshake::write_response(&mut bytes, &response).ok()?;
    Some(bytes)
}

/// An answer with a body. The connection ends behind it.
pub(super) fn response(status: u16, reason: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An answer without a body.
pub(super) fn refusal(status: u16, reason: &str) -> Vec<u8> {
    response(status, reason, "text/plain", "")
}

/// Writes an answer and ends the stream.
pub(super) async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, response: &[u8]) {
    // The peer may be gone already.
    if stream.write_all(response).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

/// `%41` and `+` decoded; what is not valid stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let digits = [hex(*high), hex(*low)].map(Option::unwrap_or_default);
                bytes.push((digits[0] * 16 + digits[1]) as u8);
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], bytes_max: usize) -> Result<Received, HeadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut stream = bytes;
        runtime.unwrap().block_on(read_head(&mut stream, bytes_max))
    }

    const REQUEST: &[u8] = b"GET /y/a%20b?token=x%2By+z&k HTTP/1.1\r\nHost: here\r\n\
        Authorization: bearer  abc\r\nSec-WebSocket-Protocol: one, syncline.v1\r\n\r\nrest";

    #[test]
    fn a_head_is_read_and_what_follows_is_kept() {
        let received = read(REQUEST, 1000).map_err(|_| ()).unwrap();
        let head = received.head;
        assert_eq!(received.rest, b"rest");
        assert_eq!(
            (head.path.as_str(), head.header("host")),
            ("/y/a%20b", Some("here"))
        );
        assert_eq!(head.parameter("token").as_deref(), Some("x+y z"));
        assert_eq!(head.parameter("k").as_deref(), Some(""));
        assert_eq!(head.parameter("l"), None);
        assert_eq!(head.token().as_deref(), Some("x+y z"));
        assert_eq!(
            head.subprotocols().collect::<Vec<_>>(),
            ["one", "syncline.v1"]
        );
        let without = RequestHead {
            query: String::new(),
            ..head
        };
        assert_eq!(without.token().as_deref(), Some("abc"));
        assert_eq!(format!("{without:?}"), "GET /y/a%20b");
    }

    #[test]
    fn bounds_are_exact_and_every_prefix_is_incomplete() {
        let len = REQUEST.len() - b"rest".len();
        assert!(read(&REQUEST[..len], len).is_ok());
        assert_eq!(read(REQUEST, len - 1).err(), Some(HeadError::TooLarge));
        for cut in 0..len {
            assert_eq!(
                read(&REQUEST[..cut], 1000).err(),
                Some(HeadError::Incomplete),
                "{cut}"
            );
        }
        let endless = [b"GET /", vec![b'x'; 5000].as_slice()].concat();
        assert_eq!(read(&endless, 4000).err(), Some(HeadError::TooLarge));
        let lines = [
            b"GET / HTTP/1.1\r\n",
            b"a: b\r\n".repeat(101).as_slice(),
            b"\r\n",
        ]
        .concat();
        assert_eq!(read(&lines, 4000).err(), Some(HeadError::TooLarge));
    }

    #[test]
    fn what_is_no_get_is_malformed() {
        for bytes in [
            &b"POST / HTTP/1.1\r\n\r\n"[..],
            b"GET / HTTP/1.0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        ] {
            assert_eq!(read(bytes, 1000).err(), Some(HeadError::Malformed));
        }
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        for (text, decoded) in [("%4", "%4"), ("%zz", "%zz"), ("%ff", "%ff"), ("%41%", "A%")] {
            assert_eq!(percent_decoded(text), decoded);
        }
    }
}
