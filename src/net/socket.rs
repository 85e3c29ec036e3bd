//! One WebSocket, reading and writing at once in one task.
//!
//! Layer: `net`. Written as a poll function and not as two tasks: the two halves share one
//! WebSocket, and a peer that stops reading must not stop us from noticing that.

use super::outbox::{Closing, Outbox};
use futures_util::{Sink, SinkExt, StreamExt, stream::Stream};
#[cfg(feature = "client")]
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// How long the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Buffers per connection; a connection costs both.
const READ_BUFFER_BYTES: usize = 8 << 10;
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// What a socket reports.
#[derive(Debug)]
pub(super) enum SocketEvent {
    /// A text or binary message.
    Frame(Bytes),
    /// The peer ended the connection, or the network did.
    Closed { reason: String },
    /// The peer broke a rule of WebSocket; close with this code.
    Broken { code: u16, reason: String },
    /// The peer does not read: see [`Outbox`].
    Overflow,
    /// What [`Outbox::close`] asked for can be done.
    MayClose(Closing),
    /// See [`Outbox::take_relief`].
    Relieved,
}

/// A WebSocket.
pub(super) struct Socket<S> {
    stream: WebSocketStream<S>,
    /// Something was given to `stream` since it was flushed.
    dirty: bool,
}

/// The limits of a connection.
pub(super) fn config(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub fn new(stream: WebSocketStream<S>) -> Self {
        Socket {
            stream,
            dirty: false,
        }
    }

    /// Writes what `outbox` holds and reads the next message, if the outbox allows reading.
    pub fn poll(&mut self, context: &mut Context<'_>, outbox: &Outbox) -> Poll<SocketEvent> {
        outbox.register(context);
        if let Err(error) = self.poll_write(context, outbox) {
            return Poll::Ready(failure(error));
        }
        if outbox.is_overflowed() {
            return Poll::Ready(SocketEvent::Overflow);
        }
        if let Some(closing) = outbox.closing() {
            return Poll::Ready(SocketEvent::MayClose(closing));
        }
        if outbox.take_relief() {
            return Poll::Ready(SocketEvent::Relieved);
        }
        while outbox.may_read() {
            match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(closed("the connection ended")),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(failure(error)),
                Poll::Ready(Some(Ok(Message::Text(text)))) => {
                    return Poll::Ready(SocketEvent::Frame(text.into()));
                }
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => {
                    return Poll::Ready(SocketEvent::Frame(bytes));
                }
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    let reason = frame.map_or_else(
                        || "closed by the peer".to_owned(),
                        |frame| frame.to_string(),
                    );
                    return Poll::Ready(SocketEvent::Closed { reason });
                }
                // Answered by the library below.
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
            }
        }
        Poll::Pending
    }

    fn poll_write(&mut self, context: &mut Context<'_>, outbox: &Outbox) -> Result<(), Error> {
        loop {
            if Pin::new(&mut self.stream).poll_ready(context)?.is_pending() {
                return Ok(());
            }
            let Some(frame) = outbox.pop() else {
                break;
            };
            Pin::new(&mut self.stream).start_send(Message::Binary(frame))?;
            self.dirty = true;
        }
        if self.dirty && Pin::new(&mut self.stream).poll_flush(context)?.is_ready() {
            self.dirty = false;
            outbox.flushed();
        }
        Ok(())
    }

    /// Writes what `outbox` holds, but not for long.
    #[cfg(feature = "client")]
    pub async fn drain(&mut self, outbox: &Outbox) {
        let written = poll_fn(|context| match self.poll_write(context, outbox) {
            Ok(()) if outbox.unsent_bytes() > 0 => Poll::Pending,
            _ => Poll::Ready(()),
        });
        // Too slow: the connection ends all the same.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, written).await;
    }

    /// Says goodbye, but not for long.
    pub async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        let goodbye = async {
            if self.stream.send(Message::Close(Some(frame))).await.is_ok() {
                // Until the peer's close frame; what it still sends is of no interest.
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // Too slow: dropping the socket is all that is left.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}

fn closed(reason: &str) -> SocketEvent {
    SocketEvent::Closed {
        reason: reason.to_owned(),
    }
}

fn failure(error: Error) -> SocketEvent {
    let reason = error.to_string();
    match error {
        Error::Capacity(_) => SocketEvent::Broken { code: 1009, reason },
        Error::Utf8(_) => SocketEvent::Broken { code: 1007, reason },
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => SocketEvent::Closed { reason },
        Error::Protocol(_) | Error::AttackAttempt => SocketEvent::Broken { code: 1002, reason },
        _ => SocketEvent::Closed { reason },
    }
}

/// Bytes that went over a connection, and over all of them.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub read: AtomicU64,
    pub written: AtomicU64,
}

/// A TCP connection that counts.
#[derive(Debug)]
pub(super) struct Metered {
    stream: TcpStream,
    meters: [Arc<Meter>; 2],
}

impl Metered {
    /// Counts on both meters.
    pub fn new(stream: TcpStream, meters: [Arc<Meter>; 2]) -> Self {
        Metered { stream, meters }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = (buffer.filled().len() - before) as u64;
        for meter in &self.meters {
            meter.read.fetch_add(read, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &result {
            let written = *written as u64;
            for meter in &self.meters {
                meter.written.fetch_add(written, Ordering::Relaxed);
            }
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
