//! WebSockets: the server and the client on threads of their own.
//!
//! Layer: above `store`, below `capi`. Moves bytes, keeps time, and holds what must wait for the
//! disk; every decision about the protocol is made in `sync`.

#[cfg(feature = "server")]
mod accept;
#[cfg(feature = "server")]
mod authorize;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_driver;
#[cfg(feature = "client")]
mod client_protocol;
mod clock;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod crdt_connection;
#[cfg(feature = "server")]
mod crdt_relay_rooms;
#[cfg(feature = "client")]
mod dial;
#[cfg(feature = "server")]
mod dialect;
#[cfg(feature = "server")]
mod drain;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod limits;
#[cfg(feature = "server")]
mod link;
#[cfg(feature = "server")]
mod metrics;
#[cfg(feature = "client")]
mod native_client;
#[cfg(feature = "server")]
mod native_connection;
#[cfg(feature = "client")]
mod native_driver;
mod outbox;
#[cfg(feature = "server")]
mod pages;
#[cfg(feature = "server")]
mod refusal;
#[cfg(feature = "server")]
mod relay_room;
#[cfg(feature = "server")]
mod releases;
#[cfg(feature = "server")]
mod room;
#[cfg(feature = "server")]
mod rooms;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod server_shared;
mod socket;
#[cfg(feature = "client")]
mod sync_record;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "server")]
mod tokens;
mod transport;

#[cfg(feature = "server")]
pub use authorize::{Access, Authorizer, Authorizing, Grant, JoinRequest};
#[cfg(feature = "client")]
pub use client::{Client, ClientError, ClientObserver, ClientOptions, ClientProgress, ClientState};
#[cfg(feature = "client")]
pub use client_protocol::ClientMode;
#[cfg(feature = "server")]
pub use dialect::Dialect;
#[cfg(feature = "server")]
pub use http::RequestHead;
#[cfg(feature = "server")]
pub use limits::ServerLimits;
#[cfg(feature = "client")]
pub use native_client::{
    AttachOptions, NativeClient, NativeClientObserver, NativeClientOptions, NativeClientState,
};
#[cfg(feature = "server")]
pub use refusal::RefusalReason;
#[cfg(feature = "server")]
pub use server::{ClientInfo, RoomInfo, Server, ServerObserver, ServerOptions, ServerStats};
#[cfg(all(feature = "tls", feature = "server"))]
pub use tls::TlsIdentity;
#[cfg(feature = "tls")]
pub use tls::{TlsError, TlsRoots};
#[cfg(feature = "server")]
pub use tokens::{Claims, ShortSecret, TokenAuthorizer, TokenError};
