//! The byte stream below a WebSocket: TCP, or TLS over it.
//!
//! Layer: `net`. One type for server and client, so that nothing above knows what is below.

use super::socket::Metered;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream; what went over the wire is counted, which with TLS is more than what was written.
pub(super) enum Transport {
    Plain(Metered),
    // Boxed: the buffers of TLS are large, and most streams have none.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::TlsStream<Metered>>),
}

macro_rules! forward {
    ($stream:expr, $call:ident $(, $argument:expr)*) => {
        match $stream.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).$call($($argument),*),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => Pin::new(stream).$call($($argument),*),
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, poll_write, context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_shutdown, context)
    }
}
