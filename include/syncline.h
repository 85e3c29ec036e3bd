#ifndef SYNCLINE_H
#define SYNCLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYNCLINE_VERSION_MAJOR 0
#define SYNCLINE_VERSION_MINOR 1
#define SYNCLINE_VERSION_PATCH 0
/* Raised when compiled programs must be compiled again; equals the number in the shared library's
 * name. Compare it when you load the library: syncline_library_check(SYNCLINE_ABI). */
#define SYNCLINE_ABI 0

/* What every function does, so that it need not be said of each:
 *
 * - Any function may be called on any thread, with any handle. What cannot run now waits, and
 *   waiting has an end (BUSY).
 * - Every pointer you give is NULL or points to what its type says, and stays valid for the call.
 *   NULL where something is needed is INVALID_ARGUMENT. Strings are UTF-8; NUL is an ordinary
 *   character in them.
 * - A negative status is an error: nothing was changed and no out_ parameter was written.
 *   syncline_error_last() tells more. Plain questions answer 0, false or empty for an object that
 *   is NULL or closed.
 * - Handles from out_ parameters and _retain are yours; give each back once with _free, which takes
 *   NULL and never fails. Parts keep their whole alive: a text its document. Borrowed strings and
 *   bytes live as long as what they were asked from.
 * - Structs that begin with struct_size: set it (SYNCLINE_OPTIONS does); zero in every other field
 *   is the default, and NULL instead of the struct means all defaults. */

#if defined(_WIN32) && !defined(SYNCLINE_STATIC)
#  define SYNCLINE_API __declspec(dllimport)
#elif defined(__GNUC__) || defined(__clang__)
#  define SYNCLINE_API __attribute__((visibility("default")))
#else
#  define SYNCLINE_API
#endif
#if defined(__GNUC__) || defined(__clang__)
#  define SYNCLINE_DEPRECATED(why) __attribute__((deprecated(why)))
#elif defined(_MSC_VER)
#  define SYNCLINE_DEPRECATED(why) __declspec(deprecated(why))
#else
#  define SYNCLINE_DEPRECATED(why)
#endif

/**
 * Borrowed UTF-8, may contain NUL.
 */
typedef struct syncline_string {
  /**
   * May be NULL when len is 0.
   */
  const char *data;
  /**
   * In bytes.
   */
  size_t len;
} syncline_string;

/* SYNCLINE_STR("literal"): a string literal as syncline_string. */
#ifdef __cplusplus
#  define SYNCLINE_STR(literal) (syncline_string{(literal), sizeof(literal) - 1})
#else
#  define SYNCLINE_STR(literal) ((syncline_string){(literal), sizeof(literal) - 1})
#endif

/* SYNCLINE_OPTIONS(syncline_queue_options, .bytes_max = 1024): a pointer to an option struct with
 * its size set, valid until the end of the block (C99). */
#ifndef __cplusplus
#  define SYNCLINE_OPTIONS(type, ...) (&(type){ .struct_size = sizeof(type), __VA_ARGS__ })
#endif

/**
 * A NUL-terminated string as syncline_string; NULL is empty.
 */
static inline syncline_string syncline_str(const char *nul_terminated) {
  syncline_string s;
  size_t n = 0;
  if (nul_terminated) {
    while (nul_terminated[n]) {
      n++;
    }
  }
  s.data = nul_terminated;
  s.len = n;
  return s;
}


/**
 * The result of a call. Negative: an error, and nothing was changed. Zero: done. Positive: no
 * error, but the answer is "no". Unknown negative values are to be treated as INTERNAL.
 */
typedef enum syncline_status {
  /**
   * Done.
   */
  SYNCLINE_OK = 0,
  /**
   * An iterator or a queue has nothing more.
   */
  SYNCLINE_END = 1,
  /**
   * No such key, index, handler or room.
   */
  SYNCLINE_NOT_FOUND = 2,
  /**
   * Correct, but had no effect (older snapshot, duplicate change).
   */
  SYNCLINE_UNCHANGED = 3,
  /**
   * A wait ended first.
   */
  SYNCLINE_TIMEOUT = 4,
  /**
   * Accepted, waits for missing data or for an answer.
   */
  SYNCLINE_PENDING = 5,
  /**
   * NULL, bad length, bad option, invalid UTF-8, a handle of another kind.
   */
  SYNCLINE_ERROR_INVALID_ARGUMENT = -1,
  /**
   * Index or count outside of the content.
   */
  SYNCLINE_ERROR_OUT_OF_RANGE = -2,
  /**
   * A text index inside of a character.
   */
  SYNCLINE_ERROR_NOT_ON_BOUNDARY = -3,
  /**
   * The id exists with another handler type; or an event of another type.
   */
  SYNCLINE_ERROR_TYPE_MISMATCH = -4,
  /**
   * There is one already.
   */
  SYNCLINE_ERROR_ALREADY_EXISTS = -5,
  /**
   * The object was closed.
   */
  SYNCLINE_ERROR_CLOSED = -6,
  /**
   * History view, read-only room or store.
   */
  SYNCLINE_ERROR_READ_ONLY = -7,
  /**
   * Commit or rollback without begin.
   */
  SYNCLINE_ERROR_NO_TRANSACTION = -8,
  /**
   * Commit on another thread than begin.
   */
  SYNCLINE_ERROR_WRONG_THREAD = -9,
  /**
   * Another thread held the object longer than lock_timeout_ms.
   */
  SYNCLINE_ERROR_BUSY = -10,
  /**
   * This call is not allowed inside of this hook or callback.
   */
  SYNCLINE_ERROR_IN_HOOK = -11,
  /**
   * Bytes from outside are not what they should be.
   */
  SYNCLINE_ERROR_MALFORMED = -12,
  /**
   * Written by a newer version.
   */
  SYNCLINE_ERROR_UNSUPPORTED_VERSION = -13,
  /**
   * A change depends on changes that are not here.
   */
  SYNCLINE_ERROR_CAUSALLY_NOT_READY = -14,
  /**
   * Changes depend on each other in a circle.
   */
  SYNCLINE_ERROR_CYCLE = -15,
  /**
   * A clock is too far ahead of the wall clock.
   */
  SYNCLINE_ERROR_CLOCK_DRIFT = -16,
  /**
   * A named limit was exceeded (size, depth, count).
   */
  SYNCLINE_ERROR_LIMIT = -17,
  /**
   * Not enough memory.
   */
  SYNCLINE_ERROR_OUT_OF_MEMORY = -18,
  /**
   * File or device.
   */
  SYNCLINE_ERROR_IO = -19,
  /**
   * Stored data fails its checksum.
   */
  SYNCLINE_ERROR_CORRUPT = -20,
  /**
   * Store or payload key does not fit.
   */
  SYNCLINE_ERROR_WRONG_KEY = -21,
  /**
   * Address, name resolution, TCP.
   */
  SYNCLINE_ERROR_CONNECT = -22,
  /**
   * TLS handshake or certificate.
   */
  SYNCLINE_ERROR_TLS = -23,
  /**
   * The peer broke or refused the protocol.
   */
  SYNCLINE_ERROR_PROTOCOL = -24,
  /**
   * The peer wants (another) token.
   */
  SYNCLINE_ERROR_UNAUTHORIZED = -25,
  /**
   * The peer refuses this for this user.
   */
  SYNCLINE_ERROR_FORBIDDEN = -26,
  /**
   * History needed by this peer was pruned.
   */
  SYNCLINE_ERROR_OUT_OF_SYNC = -27,
  /**
   * Not connected.
   */
  SYNCLINE_ERROR_OFFLINE = -28,
  /**
   * A wait was cancelled.
   */
  SYNCLINE_ERROR_CANCELLED = -29,
  /**
   * A hook of the application failed; its text is in syncline_error.
   */
  SYNCLINE_ERROR_CALLBACK = -30,
  /**
   * Not in this build, platform or protocol.
   */
  SYNCLINE_ERROR_UNSUPPORTED = -31,
  /**
   * An earlier internal error left this object unusable; free it.
   */
  SYNCLINE_ERROR_POISONED = -32,
  /**
   * A bug in Syncline, caught at the boundary.
   */
  SYNCLINE_ERROR_INTERNAL = -33,
  /**
   * Not while this thread has a transaction open.
   */
  SYNCLINE_ERROR_IN_TRANSACTION = -34,
} syncline_status;

/**
 * Whose numbering syncline_error.code follows.
 */
typedef enum syncline_error_domain {
  /**
   * There is no code.
   */
  SYNCLINE_ERROR_DOMAIN_NONE = 0,
  /**
   * errno.
   */
  SYNCLINE_ERROR_DOMAIN_OS = 1,
  /**
   * SQLite result code.
   */
  SYNCLINE_ERROR_DOMAIN_SQLITE = 2,
  /**
   * WebSocket close code.
   */
  SYNCLINE_ERROR_DOMAIN_WEBSOCKET = 3,
  /**
   * HTTP status.
   */
  SYNCLINE_ERROR_DOMAIN_HTTP = 4,
  /**
   * TLS alert.
   */
  SYNCLINE_ERROR_DOMAIN_TLS = 5,
  /**
   * Byte offset of malformed input.
   */
  SYNCLINE_ERROR_DOMAIN_OFFSET = 6,
} syncline_error_domain;

/**
 * How much is logged: a level and all above it.
 */
typedef enum syncline_log_level {
  /**
   * Nothing.
   */
  SYNCLINE_LOG_OFF = 0,
  /**
   * Something failed.
   */
  SYNCLINE_LOG_ERROR = 1,
  /**
   * Something may be wrong.
   */
  SYNCLINE_LOG_WARN = 2,
  /**
   * What an operator wants to see.
   */
  SYNCLINE_LOG_INFO = 3,
  /**
   * What a developer wants to see.
   */
  SYNCLINE_LOG_DEBUG = 4,
  /**
   * Everything.
   */
  SYNCLINE_LOG_TRACE = 5,
} syncline_log_level;

/**
 * The kinds of events.
 */
typedef enum syncline_event_type {
  /**
   * Content changed: one per transaction and subscription.
   */
  SYNCLINE_EVENT_CHANGE = 1,
  /**
   * Bytes to hand to other peers: one per transaction; document subscriptions only.
   */
  SYNCLINE_EVENT_UPDATE = 2,
  /**
   * Undo stacks changed.
   */
  SYNCLINE_EVENT_UNDO = 3,
  /**
   * A history cursor moved.
   */
  SYNCLINE_EVENT_HISTORY = 4,
  /**
   * Presence of others changed.
   */
  SYNCLINE_EVENT_AWARENESS = 5,
  /**
   * Connection status of a client.
   */
  SYNCLINE_EVENT_STATUS = 6,
  /**
   * Pending, acknowledged or stored moved.
   */
  SYNCLINE_EVENT_PROGRESS = 7,
  /**
   * A protocol message was received.
   */
  SYNCLINE_EVENT_MESSAGE = 8,
  /**
   * Something happened in a server.
   */
  SYNCLINE_EVENT_SERVER = 9,
  /**
   * A write failed, a document was stored or compacted.
   */
  SYNCLINE_EVENT_STORE = 10,
  /**
   * Nested documents came or went.
   */
  SYNCLINE_EVENT_SUBDOCUMENTS = 11,
  /**
   * A hook asks.
   */
  SYNCLINE_EVENT_REQUEST = 12,
  /**
   * The source is gone; last event of a subscription. Comes whatever the mask says.
   */
  SYNCLINE_EVENT_CLOSED = 13,
  /**
   * Events were dropped: read the state again. Comes whatever the mask says.
   */
  SYNCLINE_EVENT_OVERFLOW = 14,
} syncline_event_type;

/**
 * Who caused a change.
 */
typedef enum syncline_origin {
  /**
   * An edit of this process.
   */
  SYNCLINE_ORIGIN_LOCAL = 0,
  /**
   * An import, or a peer.
   */
  SYNCLINE_ORIGIN_REMOTE = 1,
  /**
   * An undo.
   */
  SYNCLINE_ORIGIN_UNDO = 2,
  /**
   * A redo.
   */
  SYNCLINE_ORIGIN_REDO = 3,
  /**
   * Store or snapshot.
   */
  SYNCLINE_ORIGIN_LOAD = 4,
  /**
   * A history cursor.
   */
  SYNCLINE_ORIGIN_HISTORY = 5,
} syncline_origin;

/**
 * What text indexes and lengths count.
 */
typedef enum syncline_text_unit {
  /**
   * As Dart, JavaScript, Java, NSString; the unit of both wire formats.
   */
  SYNCLINE_TEXT_UNIT_UTF16 = 0,
  /**
   * Bytes.
   */
  SYNCLINE_TEXT_UNIT_UTF8 = 1,
  /**
   * Unicode code points.
   */
  SYNCLINE_TEXT_UNIT_CODE_POINT = 2,
} syncline_text_unit;

/**
 * The kinds of handlers.
 */
typedef enum syncline_handler_kind {
  /**
   * Plain text.
   */
  SYNCLINE_HANDLER_TEXT = 1,
  /**
   * Text that keeps concurrent passages together.
   */
  SYNCLINE_HANDLER_FUGUE_TEXT = 2,
  /**
   * Plain list.
   */
  SYNCLINE_HANDLER_LIST = 3,
  /**
   * List that keeps concurrent passages together.
   */
  SYNCLINE_HANDLER_FUGUE_LIST = 4,
  /**
   * List whose items can be moved.
   */
  SYNCLINE_HANDLER_MOVABLE_LIST = 5,
  /**
   * Map; the last writer of a key wins.
   */
  SYNCLINE_HANDLER_MAP = 6,
  /**
   * Map; adding wins over removing.
   */
  SYNCLINE_HANDLER_OR_MAP = 7,
  /**
   * One value; the last writer wins.
   */
  SYNCLINE_HANDLER_REGISTER = 8,
  /**
   * Set; adding wins over removing.
   */
  SYNCLINE_HANDLER_OR_SET = 9,
  /**
   * Map of handlers.
   */
  SYNCLINE_HANDLER_MAP_REF = 10,
  /**
   * List of handlers.
   */
  SYNCLINE_HANDLER_LIST_REF = 11,
  /**
   * Movable list of handlers.
   */
  SYNCLINE_HANDLER_MOVABLE_LIST_REF = 12,
  /**
   * Type of the application.
   */
  SYNCLINE_HANDLER_CUSTOM = 13,
} syncline_handler_kind;

/**
 * What a connection does.
 */
typedef enum syncline_connection_status {
  /**
   * Not connected and not trying.
   */
  SYNCLINE_CONNECTION_DISCONNECTED = 0,
  /**
   * First attempt.
   */
  SYNCLINE_CONNECTION_CONNECTING = 1,
  /**
   * The handshake is done.
   */
  SYNCLINE_CONNECTION_CONNECTED = 2,
  /**
   * Lost or failed; trying again, or waiting to.
   */
  SYNCLINE_CONNECTION_RECONNECTING = 3,
  /**
   * Given up; only connect helps.
   */
  SYNCLINE_CONNECTION_ERROR = 4,
  /**
   * Closed by suspend; resume opens again.
   */
  SYNCLINE_CONNECTION_SUSPENDED = 5,
} syncline_connection_status;

/**
 * What happened in a server; names as in crdt_socket_sync where it has them.
 */
typedef enum syncline_server_event_kind {
  /**
   * Listening.
   */
  SYNCLINE_SERVER_STARTED = 1,
  /**
   * Not listening any more.
   */
  SYNCLINE_SERVER_STOPPED = 2,
  /**
   * A socket was opened.
   */
  SYNCLINE_SERVER_CLIENT_CONNECTED = 3,
  /**
   * A client joined a room.
   */
  SYNCLINE_SERVER_CLIENT_HANDSHAKE = 4,
  /**
   * A status request was answered.
   */
  SYNCLINE_SERVER_CLIENT_DOCUMENT_STATUS_CREATED = 5,
  /**
   * A change of a client was new and is applied.
   */
  SYNCLINE_SERVER_CLIENT_CHANGE_APPLIED = 6,
  /**
   * A ping was answered.
   */
  SYNCLINE_SERVER_CLIENT_PING_REQUEST = 7,
  /**
   * A session ended.
   */
  SYNCLINE_SERVER_CLIENT_DISCONNECTED = 8,
  /**
   * Something was refused or dropped.
   */
  SYNCLINE_SERVER_ERROR = 9,
  /**
   * A change lacks a dependency; the client was told.
   */
  SYNCLINE_SERVER_CLIENT_OUT_OF_SYNC = 10,
  /**
   * A message went to all other clients of a room.
   */
  SYNCLINE_SERVER_MESSAGE_BROADCASTED = 11,
  /**
   * A message of the application went to one client.
   */
  SYNCLINE_SERVER_MESSAGE_SENT = 12,
  /**
   * A snapshot was taken.
   */
  SYNCLINE_SERVER_SNAPSHOT_CREATED = 13,
  /**
   * A room was loaded.
   */
  SYNCLINE_SERVER_ROOM_OPENED = 14,
  /**
   * A room was unloaded.
   */
  SYNCLINE_SERVER_ROOM_CLOSED = 15,
  /**
   * Relay mode.
   */
  SYNCLINE_SERVER_RELAY_JOINED = 16,
  /**
   * Relay mode.
   */
  SYNCLINE_SERVER_RELAY_CHANGES_PUSHED = 17,
  /**
   * Relay mode.
   */
  SYNCLINE_SERVER_RELAY_SNAPSHOT_UPLOADED = 18,
  /**
   * A connection was not served.
   */
  SYNCLINE_SERVER_CLIENT_REFUSED = 19,
} syncline_server_event_kind;

/**
 * Parts that a build may leave out.
 */
typedef enum syncline_feature {
  /**
   * WebSocket client.
   */
  SYNCLINE_FEATURE_CLIENT = 1,
  /**
   * WebSocket server.
   */
  SYNCLINE_FEATURE_SERVER = 2,
  /**
   * Yjs documents.
   */
  SYNCLINE_FEATURE_YJS = 3,
  /**
   * Documents in SQLite files.
   */
  SYNCLINE_FEATURE_STORE_SQLITE = 4,
  /**
   * Encryption at rest and end to end.
   */
  SYNCLINE_FEATURE_ENCRYPTION = 5,
  /**
   * wss:// without a proxy.
   */
  SYNCLINE_FEATURE_TLS = 6,
  /**
   * Compression of protocol frames.
   */
  SYNCLINE_FEATURE_GZIP = 7,
} syncline_feature;

/**
 * The side of a position on which the element is that it stays with.
 */
typedef enum syncline_affinity {
  /**
   * The element before it: what is inserted at the position comes behind it.
   */
  SYNCLINE_AFFINITY_BEFORE = 0,
  /**
   * The element behind it: what is inserted at the position comes before it.
   */
  SYNCLINE_AFFINITY_AFTER = 1,
} syncline_affinity;

/**
 * How values of a handler are stored.
 */
typedef enum syncline_codec {
  /**
   * As JSON text.
   */
  SYNCLINE_CODEC_JSON = 0,
  /**
   * Values are BYTES, stored as they are.
   */
  SYNCLINE_CODEC_BYTES = 1,
} syncline_codec;

/**
 * What one step of a delta does.
 */
typedef enum syncline_op_kind {
  /**
   * Skip.
   */
  SYNCLINE_OP_RETAIN = 0,
  /**
   * Put in.
   */
  SYNCLINE_OP_INSERT = 1,
  /**
   * Take out.
   */
  SYNCLINE_OP_REMOVE = 2,
  /**
   * Replace.
   */
  SYNCLINE_OP_UPDATE = 3,
  /**
   * Move to another place.
   */
  SYNCLINE_OP_MOVE = 4,
} syncline_op_kind;

/**
 * Flags of snapshot functions; 0 = the defaults of crdt_lf.
 */
typedef enum syncline_snapshot_flag {
  /**
   * crdt_lf: pruneHistory false.
   */
  SYNCLINE_SNAPSHOT_KEEP_HISTORY = 1,
  /**
   * Importing, merge true: join the snapshot with the own one instead of refusing an older one.
   */
  SYNCLINE_SNAPSHOT_MERGE = 2,
} syncline_snapshot_flag;

/**
 * What a syncline_value is.
 */
typedef enum syncline_value_type {
  /**
   * JavaScript's undefined (Yjs).
   */
  SYNCLINE_VALUE_UNDEFINED = 0,
  /**
   * null.
   */
  SYNCLINE_VALUE_NULL = 1,
  /**
   * true or false.
   */
  SYNCLINE_VALUE_BOOL = 2,
  /**
   * A signed 64-bit integer.
   */
  SYNCLINE_VALUE_INT = 3,
  /**
   * A double; stays different from an integer of the same value.
   */
  SYNCLINE_VALUE_DOUBLE = 4,
  /**
   * A big integer within 64 bits (Yjs).
   */
  SYNCLINE_VALUE_BIGINT = 5,
  /**
   * Text.
   */
  SYNCLINE_VALUE_STRING = 6,
  /**
   * Bytes.
   */
  SYNCLINE_VALUE_BYTES = 7,
  /**
   * A list of values.
   */
  SYNCLINE_VALUE_ARRAY = 8,
  /**
   * Keys with values; the order is kept, keys are unique.
   */
  SYNCLINE_VALUE_OBJECT = 9,
  /**
   * A reference to another handler: string = id, second string in ref_type.
   */
  SYNCLINE_VALUE_REF = 10,
  /**
   * Results only: a nested Yjs type.
   */
  SYNCLINE_VALUE_SHARED = 11,
} syncline_value_type;

/**
 * What a stored edit survives.
 */
typedef enum syncline_durability {
  /**
   * Crash of the program and loss of power.
   */
  SYNCLINE_DURABILITY_FULL = 0,
  /**
   * Crash of the program; after a loss of power the last edits may be missing.
   */
  SYNCLINE_DURABILITY_NORMAL = 1,
  /**
   * Crash of the program; a loss of power may damage the file.
   */
  SYNCLINE_DURABILITY_OFF = 2,
} syncline_durability;

/**
 * What is spoken.
 */
typedef enum syncline_protocol {
  /**
   * crdt_socket_sync, server that knows the documents.
   */
  SYNCLINE_PROTOCOL_CRDT_SYNC = 1,
  /**
   * crdt_socket_sync, relay.
   */
  SYNCLINE_PROTOCOL_CRDT_RELAY = 2,
  /**
   * y-websocket.
   */
  SYNCLINE_PROTOCOL_YJS = 3,
  /**
   * Hocuspocus framing: document name before each message.
   */
  SYNCLINE_PROTOCOL_YJS_NAMED = 4,
  /**
   * crdt-editor.
   */
  SYNCLINE_PROTOCOL_DICT = 5,
  /**
   * Own: many documents on one connection, acknowledgements.
   */
  SYNCLINE_PROTOCOL_SYNCLINE = 6,
} syncline_protocol;

/**
 * How frames are compressed.
 */
typedef enum syncline_compression {
  /**
   * Not at all.
   */
  SYNCLINE_COMPRESSION_NONE = 0,
  /**
   * gzip per message.
   */
  SYNCLINE_COMPRESSION_GZIP = 1,
  /**
   * permessage-deflate.
   */
  SYNCLINE_COMPRESSION_DEFLATE_FRAMES = 2,
  /**
   * Functions of the application.
   */
  SYNCLINE_COMPRESSION_CUSTOM = 3,
} syncline_compression;

/**
 * One change as it travels between peers. Immutable.
 */
typedef struct syncline_change syncline_change;

/**
 * A connection to a server that comes back by itself.
 */
typedef struct syncline_client syncline_client;

/**
 * A handler whose operations the application folds.
 */
typedef struct syncline_custom syncline_custom;

/**
 * A document: handlers (texts, lists, maps, sets, registers) that merge with those of other replicas.
 */
typedef struct syncline_document syncline_document;

/**
 * Something that happened. Immutable; any thread may read it.
 */
typedef struct syncline_event syncline_event;

/**
 * A part of a document, whatever its kind.
 */
typedef struct syncline_handler syncline_handler;

/**
 * The changes of a document in order, and a read-only document that shows the first ones.
 */
typedef struct syncline_history syncline_history;

/**
 * A walk over a frozen copy: edits made meanwhile do not disturb it.
 */
typedef struct syncline_iterator syncline_iterator;

/**
 * Values in order: a list, a Fugue list, a movable list, or a list of references.
 */
typedef struct syncline_list syncline_list;

/**
 * Keys with values: a map, an OR-map, or a map of references.
 */
typedef struct syncline_map syncline_map;

/**
 * Events on their way to one consumer. The library has a default queue with a thread of its own;
 * other queues are drained by the application.
 */
typedef struct syncline_queue syncline_queue;

/**
 * One value; the last writer wins.
 */
typedef struct syncline_register syncline_register;

/**
 * Rooms on a port, each a document that clients share.
 */
typedef struct syncline_server syncline_server;

/**
 * Values without order; adding wins over removing at the same time.
 */
typedef struct syncline_set syncline_set;

/**
 * The state of every handler at a version. Immutable.
 */
typedef struct syncline_snapshot syncline_snapshot;

/**
 * Documents on this device.
 */
typedef struct syncline_store syncline_store;

/**
 * A wish to be told, until it is freed. Keeps what it observes alive, but not a client or server.
 */
typedef struct syncline_subscription syncline_subscription;

/**
 * Text: one that merges by characters (Fugue), or a plain one that goes by positions.
 */
typedef struct syncline_text syncline_text;

/**
 * Steps that can be undone and redone. Notes the edits made through this document in this process,
 * whoever is their peer; never those of others.
 */
typedef struct syncline_undo syncline_undo;

/**
 * The latest clock of each peer: what a replica has seen.
 */
typedef struct syncline_version_vector syncline_version_vector;

/**
 * Settings of the whole library.
 */
typedef struct syncline_library_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * 0 = 1. This version has one thread per client; other numbers are UNSUPPORTED.
   */
  uint32_t io_threads;
  /**
   * Extra threads end after this time; 0 = 10000. This version has none; others are UNSUPPORTED.
   */
  uint32_t idle_thread_timeout_ms;
  /**
   * Prefix of thread names, "" = "syncline"; others are UNSUPPORTED in this version.
   */
  syncline_string thread_name;
} syncline_library_options;

/**
 * What the library uses at this moment.
 */
typedef struct syncline_library_stats {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * Handles not yet freed: 0 at the end of a leak-free program.
   */
  uint64_t live_handles;
  /**
   * Memory of open documents and waiting events, estimated.
   */
  uint64_t heap_bytes;
  /**
   * Delivery threads that run now. Clients, servers and stores have their own while they work.
   */
  uint32_t threads;
  /**
   * Zero.
   */
  uint32_t reserved_1;
} syncline_library_stats;

/**
 * Detail of a failure.
 */
typedef struct syncline_error {
  /**
   * What the call returned.
   */
  enum syncline_status status;
  /**
   * What `code` is.
   */
  enum syncline_error_domain domain;
  /**
   * errno, SQLite code, WebSocket close code, HTTP status, byte offset.
   */
  int64_t code;
  /**
   * English, NUL-terminated UTF-8, for logs.
   */
  const char *message;
} syncline_error;

/**
 * One record.
 */
typedef struct syncline_log_record {
  /**
   * How serious.
   */
  enum syncline_log_level level;
  /**
   * Milliseconds since 1970.
   */
  int64_t time_ms;
  /**
   * Which part of the library: "client", "server", "store", ...
   */
  syncline_string target;
  /**
   * English.
   */
  syncline_string message;
} syncline_log_record;

/**
 * Takes a record; borrowed for the call. Runs on any thread and may be called by several at once.
 * A hook: it must make no Syncline call.
 */
typedef void (*syncline_log_fn)(void *user_data, const struct syncline_log_record *record);

/**
 * Gives back what user data points to.
 */
typedef void (*syncline_free_fn)(void *user_data);

/**
 * Bytes owned by the caller; a NUL byte follows the data. Free it with syncline_buffer_free.
 */
typedef struct syncline_buffer {
  /**
   * The bytes, or NULL.
   */
  uint8_t *data;
  /**
   * In bytes, without the NUL.
   */
  size_t len;
  /**
   * Do not touch.
   */
  size_t reserved;
} syncline_buffer;

/**
 * Borrowed bytes.
 */
typedef struct syncline_bytes {
  /**
   * May be NULL when len is 0.
   */
  const uint8_t *data;
  /**
   * In bytes.
   */
  size_t len;
} syncline_bytes;

/**
 * The items of an ARRAY.
 */
typedef struct syncline_value_array {
  /**
   * May be NULL when count is 0.
   */
  const struct syncline_value *items;
  /**
   * How many.
   */
  size_t count;
} syncline_value_array;

/**
 * The entries of an OBJECT; insertion order is kept.
 */
typedef struct syncline_value_object {
  /**
   * count keys; may be NULL when count is 0.
   */
  const syncline_string *keys;
  /**
   * count values; may be NULL when count is 0.
   */
  const struct syncline_value *values;
  /**
   * How many.
   */
  size_t count;
} syncline_value_object;

/**
 * The content of a value, by its type.
 */
typedef union syncline_value_data {
  /**
   * BOOL.
   */
  bool boolean;
  /**
   * INT and BIGINT.
   */
  int64_t integer;
  /**
   * DOUBLE.
   */
  double number;
  /**
   * STRING, REF (id), SHARED (type name).
   */
  syncline_string string;
  /**
   * BYTES.
   */
  struct syncline_bytes bytes;
  /**
   * ARRAY.
   */
  struct syncline_value_array array;
  /**
   * OBJECT.
   */
  struct syncline_value_object object;
} syncline_value_data;

/**
 * Any JSON-like value. Build one as a literal, without allocation; results are owned trees in one
 * allocation, freed with syncline_value_free.
 */
typedef struct syncline_value {
  /**
   * A syncline_value_type.
   */
  uint32_t type;
  /**
   * Zero.
   */
  uint32_t flags;
  /**
   * The content.
   */
  union syncline_value_data data;
  /**
   * REF only.
   */
  syncline_string ref_type;
} syncline_value;

/**
 * Settings of a queue.
 */
typedef struct syncline_queue_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * What waits may take this much memory, estimated; 0 = 64 MiB. Then an OVERFLOW event
   * replaces what is waiting.
   */
  uint64_t bytes_max;
} syncline_queue_options;

/**
 * Called when an empty queue becomes non-empty, on any thread. It must make no Syncline call.
 */
typedef void (*syncline_wakeup_fn)(void *user_data);

/**
 * One step of a text delta: apply in order from index 0.
 */
typedef struct syncline_text_op {
  /**
   * RETAIN, INSERT or REMOVE.
   */
  uint32_t kind;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * In the document's text unit. For an INSERT given to the library it may be 0.
   */
  uint64_t length;
  /**
   * INSERT. In events lone surrogates are U+FFFD.
   */
  syncline_string text;
  /**
   * INSERT of an object instead of text, or NULL.
   */
  const struct syncline_value *embed;
  /**
   * Formatting set by INSERT or changed by RETAIN, or NULL.
   */
  const struct syncline_value *attributes;
} syncline_text_op;

/**
 * One step of a list delta: RETAIN, INSERT and REMOVE apply in order from index 0, as those of a
 * text; then MOVE and UPDATE name absolute indexes of the list after the steps before them.
 */
typedef struct syncline_list_op {
  /**
   * A syncline_op_kind.
   */
  uint32_t kind;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * UPDATE: where; MOVE: where the element is once it was taken out and put in again.
   */
  uint64_t index;
  /**
   * MOVE: from.
   */
  uint64_t from;
  /**
   * How many.
   */
  uint64_t length;
  /**
   * INSERT, UPDATE: length values.
   */
  const struct syncline_value *values;
  /**
   * REMOVE, UPDATE: length values, or NULL when not recorded.
   */
  const struct syncline_value *old_values;
} syncline_list_op;

/**
 * What happened to one key of a map, to a register (key ""), or to one element of a set (value
 * only).
 */
typedef struct syncline_map_op {
  /**
   * INSERT, UPDATE or REMOVE.
   */
  uint32_t kind;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * The key.
   */
  syncline_string key;
  /**
   * Before, or NULL.
   */
  const struct syncline_value *old_value;
  /**
   * After, or NULL.
   */
  const struct syncline_value *new_value;
} syncline_map_op;

/**
 * One handler of a CHANGE event.
 */
typedef struct syncline_change_target {
  /**
   * Handler id.
   */
  syncline_string id;
  /**
   * Handler type tag.
   */
  syncline_string type_name;
  /**
   * With a deep listener: ARRAY of keys and indexes from the observed container to the handler,
   * empty for the container itself. Else NULL.
   */
  const struct syncline_value *path;
  /**
   * Text.
   */
  const struct syncline_text_op *text_ops;
  /**
   * How many.
   */
  size_t text_op_count;
  /**
   * Lists.
   */
  const struct syncline_list_op *list_ops;
  /**
   * How many.
   */
  size_t list_op_count;
  /**
   * Maps, registers, sets.
   */
  const struct syncline_map_op *map_ops;
  /**
   * How many.
   */
  size_t map_op_count;
} syncline_change_target;

/**
 * What a CHANGE event says. Borrowed from the event.
 */
typedef struct syncline_change_info {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * Who caused it.
   */
  enum syncline_origin origin;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Tag given to begin, or of the connection.
   */
  struct syncline_bytes tag;
  /**
   * Author of a remote change when there is one, else "".
   */
  syncline_string peer;
  /**
   * Number of the transaction in this document.
   */
  uint64_t transaction;
  /**
   * How many.
   */
  size_t target_count;
  /**
   * What was touched.
   */
  const struct syncline_change_target *targets;
} syncline_change_info;

/**
 * What an UPDATE event says. Borrowed from the event.
 */
typedef struct syncline_update_info {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * Who caused it.
   */
  enum syncline_origin origin;
  /**
   * How many changes the update carries. 0: a snapshot replaced state, exchange anew.
   */
  uint32_t change_count;
  /**
   * crdt_lf: list of changes, for syncline_document_import_changes.
   */
  struct syncline_bytes update;
  /**
   * Yjs only.
   */
  struct syncline_bytes update_v2;
} syncline_update_info;

/**
 * Names a writer: one device, one app instance.
 */
typedef struct syncline_peer_id {
  /**
   * As on the wire.
   */
  uint8_t bytes[16];
} syncline_peer_id;

/**
 * Packed hybrid logical clock: 48 bits milliseconds, 16 bits counter.
 */
typedef uint64_t syncline_hlc;

/**
 * Names a change: 24 bytes, as on the wire.
 */
typedef struct syncline_operation_id {
  /**
   * Who.
   */
  struct syncline_peer_id peer;
  /**
   * When, big endian; see syncline_operation_id_clock.
   */
  uint8_t clock[8];
} syncline_operation_id;

/**
 * Settings of a new or opened document.
 */
typedef struct syncline_document_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * "" = random UUID.
   */
  syncline_string document_id;
  /**
   * NULL = random. Two writers must never have the same.
   */
  const struct syncline_peer_id *peer_id;
  /**
   * 0 = start at zero as Dart does.
   */
  syncline_hlc initial_clock;
  /**
   * Unit of all text indexes and lengths of this handle.
   */
  syncline_text_unit text_unit;
  /**
   * How long a call waits for the transaction of another thread; 0 = 10000.
   */
  uint32_t lock_timeout_ms;
  /**
   * How far clocks of received changes may be ahead of the wall clock; 0 = no check.
   */
  uint32_t clock_drift_ms_max;
  /**
   * Do not register the built-in handler types for automatic creation: see
   * syncline_document_register_default_types.
   */
  bool no_default_types;
  /**
   * Zero.
   */
  uint8_t reserved_1[3];
} syncline_document_options;

/**
 * What a document consists of.
 */
typedef struct syncline_document_stats {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * Registered handlers.
   */
  uint64_t handler_count;
  /**
   * Changes in the log.
   */
  uint64_t change_count;
  /**
   * Size of the last snapshot; 0 if there is none.
   */
  uint64_t snapshot_bytes;
  /**
   * Memory, estimated.
   */
  uint64_t heap_bytes;
  /**
   * Changes that wait for others: always 0, because changes that are not ready are refused.
   */
  uint64_t waiting_changes;
} syncline_document_stats;

/**
 * Takes an event; borrowed for the call (syncline_event_retain keeps it longer). No lock is held:
 * everything may be called from inside, also freeing the subscription.
 */
typedef void (*syncline_event_fn)(void *user_data, const struct syncline_event *event);

/**
 * Who wants to be told, and how.
 */
typedef struct syncline_listener {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * NULL: the default queue, whose thread calls the callback.
   */
  struct syncline_queue *queue;
  /**
   * NULL: take the events with syncline_queue_poll or _wait. Dispatching drops an event without
   * a callback.
   */
  syncline_event_fn callback;
  /**
   * Given to the callback, and found in polled events.
   */
  void *user_data;
  /**
   * Runs once, after the last callback; also when the subscribing call fails.
   */
  syncline_free_fn free_user_data;
  /**
   * Bits (1 << syncline_event_type); 0 = all. CLOSED and OVERFLOW always come.
   */
  uint64_t mask;
  /**
   * Handlers that hold references: also what happens in the handlers they lead to, each with
   * its path. No difference for others. Costs a walk over the references per commit.
   */
  bool deep;
  /**
   * Zero.
   */
  uint8_t reserved_1[7];
} syncline_listener;

/**
 * What runs inside of a transaction.
 */
typedef void (*syncline_transact_fn)(void *user_data);

/**
 * What to make when a handler is not there yet.
 */
typedef struct syncline_handler_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * 0: FUGUE_TEXT, FUGUE_LIST, MAP, OR_SET or REGISTER by the function used;
   * syncline_document_register_type takes it from the type name.
   */
  syncline_handler_kind kind;
  /**
   * How values are stored. Texts and kinds of references have no choice: 0.
   */
  syncline_codec codec;
  /**
   * Wire tag, for example `CRDTMapHandler<num>`; "" = Dart's tag for values of any type.
   */
  syncline_string type_name;
} syncline_handler_options;

/**
 * Borrowed UTF-16 code units, native endian; lone surrogates are allowed.
 */
typedef struct syncline_utf16 {
  /**
   * May be NULL when len is 0.
   */
  const uint16_t *data;
  /**
   * In code units.
   */
  size_t len;
} syncline_utf16;

/**
 * An operation as a hook sees it; borrowed for the call.
 */
typedef struct syncline_custom_operation {
  /**
   * Size of the struct.
   */
  size_t struct_size;
  /**
   * Which change it is; NULL while its transaction is open.
   */
  const struct syncline_operation_id *id;
  /**
   * As it was submitted.
   */
  struct syncline_bytes body;
  /**
   * As it was submitted.
   */
  uint8_t kind;
  /**
   * Zero.
   */
  uint8_t reserved_1[7];
} syncline_custom_operation;

/**
 * Folds an operation into the state. What it does may depend on nothing but the operations and
 * their order: all peers must come to the same state. After a negative status the state must be
 * as before; the operation is skipped.
 */
typedef syncline_status (*syncline_custom_apply_fn)(void *user_data,
                                                    void *state,
                                                    const struct syncline_custom_operation *operation);

/**
 * Makes a state from what the save hook wrote, here or on another peer. An empty snapshot stands
 * for the state before any operation. *out_state is written with OK only.
 */
typedef syncline_status (*syncline_custom_load_fn)(void *user_data,
                                                   struct syncline_bytes snapshot,
                                                   void **out_state);

/**
 * Writes the whole state; nothing stands for the state before any operation. Equal states should
 * give equal bytes. The buffer comes from syncline_buffer_new; the library frees it.
 */
typedef syncline_status (*syncline_custom_save_fn)(void *user_data,
                                                   void *state,
                                                   struct syncline_buffer *out_snapshot);

/**
 * Gives a state back.
 */
typedef void (*syncline_custom_drop_fn)(void *user_data, void *state);

/**
 * A handler type written by the application. The hooks run under the document's lock, on the
 * thread that edits or imports: calls into the same document give IN_HOOK. A hook that fails
 * calls syncline_error_set and returns a negative status.
 */
typedef struct syncline_custom_type {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * Wire tag; none of Dart's own.
   */
  syncline_string type_name;
  /**
   * Folds an operation in.
   */
  syncline_custom_apply_fn apply;
  /**
   * Makes a state, also as a copy of another that save wrote.
   */
  syncline_custom_load_fn load;
  /**
   * Writes a state.
   */
  syncline_custom_save_fn save;
  /**
   * Gives a state back, once; NULL if states need nothing.
   */
  syncline_custom_drop_fn drop;
  /**
   * Given to the hooks.
   */
  void *user_data;
  /**
   * Runs once, when the last handler of the type is gone; also when registering fails. A hook
   * as the others.
   */
  syncline_free_fn free_user_data;
  /**
   * Operations give the same state in any order: they are then applied as they come. If not, a
   * handler is loaded and replayed from the last snapshot whenever a change arrives behind a
   * younger one.
   */
  bool order_independent;
  /**
   * Zero.
   */
  uint8_t reserved_1[7];
} syncline_custom_type;

/**
 * Looks at a state while it stays put.
 */
typedef void (*syncline_custom_read_fn)(void *user_data, const void *state);

/**
 * What a HISTORY event says.
 */
typedef struct syncline_history_info {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * How many changes are shown after the move.
   */
  uint64_t cursor;
  /**
   * How many there are.
   */
  uint64_t length;
} syncline_history_info;

/**
 * Settings of an undo manager.
 */
typedef struct syncline_undo_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * Edits closer than this form one step; 0 = 500.
   */
  uint32_t capture_timeout_ms;
  /**
   * Most steps kept, of each stack; 0 = 1000.
   */
  uint32_t steps_max;
  /**
   * Keep the stacks in the document's store. They are restored by the next persistent undo
   * manager of the document, also after a crash.
   */
  bool persistent;
  /**
   * Zero.
   */
  uint8_t reserved_1[7];
} syncline_undo_options;

/**
 * What an UNDO event says. Borrowed from the event.
 */
typedef struct syncline_undo_info {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * Steps that can be undone.
   */
  uint64_t undo_count;
  /**
   * Steps that can be redone.
   */
  uint64_t redo_count;
  /**
   * Number of the step pushed or popped; never reused.
   */
  uint64_t step;
  /**
   * False: popped by undo or redo.
   */
  bool pushed;
  /**
   * Zero.
   */
  uint8_t reserved_1[7];
  /**
   * What is attached to the step, or NULL.
   */
  const struct syncline_value *meta;
} syncline_undo_info;

/**
 * Settings of a store.
 */
typedef struct syncline_store_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * Encryption at rest. UNSUPPORTED in this version.
   */
  struct syncline_bytes key;
  /**
   * FULL: on the device before an edit counts as stored.
   */
  syncline_durability durability;
  /**
   * Group commit: how long edits wait for others; 0 = 20.
   */
  uint32_t flush_delay_ms;
  /**
   * Compact a document when its log grows past this; 0 = automatic.
   */
  uint64_t compact_bytes;
  /**
   * Nothing is written; the file must exist.
   */
  bool read_only;
  /**
   * Other processes use the file, too. What they write to a document that is open here comes in
   * with the next write to it, or with syncline_store_resume.
   */
  bool shared;
  /**
   * Zero.
   */
  uint8_t reserved_1[6];
} syncline_store_options;

/**
 * What a STORE event says. Borrowed from the event.
 */
typedef struct syncline_store_info {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * OK: stored or compacted; else what failed. A failed write is tried again. CORRUPT: the
   * document was damaged, and read whole from the generation before.
   */
  enum syncline_status status;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Which document.
   */
  syncline_string document_id;
  /**
   * What it takes after it was compacted; else 0.
   */
  uint64_t bytes;
} syncline_store_info;

/**
 * What a STATUS event says. Borrowed from the event.
 */
typedef struct syncline_client_status_info {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * What the connection does.
   */
  enum syncline_connection_status status;
  /**
   * Attempts that failed since the last success.
   */
  uint32_t attempt;
  /**
   * Until the next attempt; 0 = none is planned.
   */
  uint32_t retry_in_ms;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Why the last attempt or connection ended; status OK while there is no reason.
   */
  struct syncline_error error;
} syncline_client_status_info;

/**
 * "Is my edit safe?"
 */
typedef struct syncline_client_progress {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * Made here, not yet acknowledged by the server.
   */
  uint64_t pending_changes;
  /**
   * Their size; 0 in this version.
   */
  uint64_t pending_bytes;
  /**
   * Made here, not yet on this device's disk; 0 for documents without a store.
   */
  uint64_t unstored_changes;
  /**
   * Relay and own protocol only; 0 in this version.
   */
  uint64_t acknowledged_sequence;
  /**
   * Connected, and nothing is pending.
   */
  bool synced;
  /**
   * Zero.
   */
  uint8_t reserved_1[7];
} syncline_client_progress;

/**
 * Settings of a client. What is marked UNSUPPORTED must be zero in this version.
 */
typedef struct syncline_client_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * ws:// and an address; wss:// is UNSUPPORTED.
   */
  syncline_string url;
  /**
   * 0, CRDT_SYNC or CRDT_RELAY; others UNSUPPORTED.
   */
  syncline_protocol protocol;
  /**
   * NONE or GZIP; both are understood. Others UNSUPPORTED.
   */
  syncline_compression compression;
  /**
   * UNSUPPORTED.
   */
  syncline_string token;
  /**
   * UNSUPPORTED.
   */
  const struct syncline_value *headers;
  /**
   * UNSUPPORTED.
   */
  const void *compressor;
  /**
   * UNSUPPORTED.
   */
  void *channel;
  /**
   * UNSUPPORTED.
   */
  struct syncline_bytes tls_ca_pem;
  /**
   * UNSUPPORTED.
   */
  struct syncline_bytes end_to_end_key;
  /**
   * Time for name, TCP and WebSocket; 0 = 10000.
   */
  uint32_t connect_timeout_ms;
  /**
   * Time from the open socket to the server's answer; 0 = 5000.
   */
  uint32_t handshake_timeout_ms;
  /**
   * Time between pings; 0 = 15000.
   */
  uint32_t ping_interval_ms;
  /**
   * Silence that means that the connection is dead; 0 = 30000.
   */
  uint32_t ping_timeout_ms;
  /**
   * Upper bound of the first delay before reconnecting; 0 = the protocol's default.
   */
  uint32_t reconnect_delay_ms_min;
  /**
   * Upper bound of every delay; 0 = the protocol's default.
   */
  uint32_t reconnect_delay_ms_max;
  /**
   * UNSUPPORTED: delays are spread over their whole range.
   */
  uint32_t reconnect_jitter_ms;
  /**
   * 0 and -1 = for ever.
   */
  int32_t reconnect_attempts_max;
  /**
   * Unsent bytes at which no more is made to be sent; 0 = the default.
   */
  uint64_t outbound_bytes_max;
  /**
   * Largest received message; 0 = 64 MiB.
   */
  uint64_t message_bytes_max;
  /**
   * The first lost connection is the end.
   */
  bool no_reconnect;
  /**
   * UNSUPPORTED.
   */
  bool manual;
  /**
   * Zero.
   */
  uint8_t reserved_1[6];
} syncline_client_options;

/**
 * What a SERVER event says. Borrowed from the event.
 */
typedef struct syncline_server_info {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * What happened.
   */
  enum syncline_server_event_kind kind;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * The client it concerns, or "".
   */
  syncline_string client_id;
  /**
   * The room it concerns, or "".
   */
  syncline_string room;
  /**
   * Details in English, or "".
   */
  syncline_string message;
  /**
   * Zero in this version.
   */
  uint64_t bytes;
  /**
   * Zero in this version.
   */
  uint64_t sequence;
  /**
   * ERROR and CLIENT_REFUSED: what is wrong.
   */
  struct syncline_error error;
} syncline_server_info;

/**
 * Settings of a server. What is marked UNSUPPORTED must be zero in this version.
 */
typedef struct syncline_server_options {
  /**
   * Set by SYNCLINE_OPTIONS.
   */
  size_t struct_size;
  /**
   * Name or address to listen on; "" = 127.0.0.1.
   */
  syncline_string host;
  /**
   * 0 = any free one; see syncline_server_port.
   */
  uint16_t port;
  /**
   * UNSUPPORTED.
   */
  uint16_t metrics_port;
  /**
   * Bits (1 << syncline_protocol); 0 = all this version has: CRDT_SYNC.
   */
  uint32_t protocols;
  /**
   * Where documents are kept; NULL = memory. The server keeps the store alive.
   */
  struct syncline_store *store;
  /**
   * UNSUPPORTED.
   */
  const void *hooks;
  /**
   * UNSUPPORTED.
   */
  bool authorize_by_request;
  /**
   * Zero.
   */
  uint8_t reserved_1[3];
  /**
   * NONE or GZIP: a client is answered in the form it speaks. Others UNSUPPORTED.
   */
  syncline_compression compression;
  /**
   * UNSUPPORTED.
   */
  const void *compressor;
  /**
   * UNSUPPORTED.
   */
  struct syncline_bytes tls_certificate_pem;
  /**
   * UNSUPPORTED.
   */
  struct syncline_bytes tls_key_pem;
  /**
   * Connections at a time; 0 = the default.
   */
  uint32_t connections_max;
  /**
   * Rooms in memory at a time; 0 = the default.
   */
  uint32_t rooms_max;
  /**
   * Threads; 0 = the default.
   */
  uint32_t worker_threads;
  /**
   * Silence that ends a connection; 0 = the default.
   */
  uint32_t client_timeout_ms;
  /**
   * How long an empty room stays loaded; 0 = the default.
   */
  uint32_t room_idle_ms;
  /**
   * UNSUPPORTED.
   */
  uint32_t compact_threshold;
  /**
   * UNSUPPORTED.
   */
  uint32_t rate_messages_per_s;
  /**
   * Zero.
   */
  uint32_t reserved_2;
  /**
   * Largest received message; 0 = the default.
   */
  uint64_t message_bytes_max;
  /**
   * Unsent bytes at which a connection is closed as too slow; 0 = the default.
   */
  uint64_t outbound_bytes_max;
  /**
   * UNSUPPORTED.
   */
  uint64_t document_bytes_max;
} syncline_server_options;

/**
 * Numbers since the start.
 */
typedef struct syncline_server_stats {
  /**
   * Set it to the size of the struct.
   */
  size_t struct_size;
  /**
   * Open now.
   */
  uint64_t connections;
  /**
   * Opened since the start.
   */
  uint64_t connections_total;
  /**
   * In memory now.
   */
  uint64_t rooms_open;
  /**
   * Received.
   */
  uint64_t messages_in;
  /**
   * Sent.
   */
  uint64_t messages_out;
  /**
   * Received.
   */
  uint64_t bytes_in;
  /**
   * Sent.
   */
  uint64_t bytes_out;
  /**
   * New changes of clients.
   */
  uint64_t changes_applied;
  /**
   * Connections that were not served.
   */
  uint64_t refused;
  /**
   * Connections that were closed because they did not read.
   */
  uint64_t slow_clients_dropped;
  /**
   * Since the start.
   */
  uint64_t uptime_ms;
} syncline_server_stats;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ---- Library ---- */

/**
 * The version of the loaded library.
 *
 * @return (major << 16) | (minor << 8) | patch
 */
SYNCLINE_API uint32_t syncline_library_version(void);

/**
 * The version of the loaded library as text, for example "0.1.0".
 *
 * @return static
 */
SYNCLINE_API const char *syncline_library_version_string(void);

/**
 * What this library was built with, as a JSON object: version, features, dialects.
 *
 * @return static
 */
SYNCLINE_API const char *syncline_library_build_info(void);

/**
 * Compares the header an application was compiled with to the loaded library.
 *
 * @param abi  SYNCLINE_ABI
 * @return UNSUPPORTED_VERSION if they do not fit
 */
SYNCLINE_API enum syncline_status syncline_library_check(uint32_t abi);

/**
 * Whether this build has a feature. False for a number that does not exist.
 */
SYNCLINE_API bool syncline_library_has_feature(syncline_feature feature);

/**
 * Sets what holds for the whole library; optional, before first use.
 *
 * @param options  NULL: the defaults
 * @return UNSUPPORTED for a setting that this version cannot follow
 */
SYNCLINE_API
enum syncline_status syncline_library_configure(const struct syncline_library_options *options);

/**
 * Counts what is in use. Reads every open document, so it may wait for their locks.
 *
 * @param out_stats  struct_size must be set
 */
SYNCLINE_API
enum syncline_status syncline_library_get_stats(struct syncline_library_stats *out_stats);

/**
 * Ends the library's idle threads: before the library is unloaded, or for a leak checker. Waits
 * until the events of the default queue are delivered. The library starts again by itself.
 *
 * @param timeout_ms  how long to wait
 * @return TIMEOUT; IN_HOOK from a callback on the delivery thread
 */
SYNCLINE_API enum syncline_status syncline_library_shutdown(uint32_t timeout_ms);

/* ---- Errors ---- */

/**
 * The last failure of the calling thread. Calls that succeed do not touch it; a status of OK in
 * it means that nothing has failed since the thread began or since syncline_error_clear.
 *
 * @return never NULL; valid until the next Syncline call on this thread
 */
SYNCLINE_API const struct syncline_error *syncline_error_last(void);

/**
 * Forgets the last failure of the calling thread.
 */
SYNCLINE_API void syncline_error_clear(void);

/**
 * Sets the last error of the calling thread: for a hook, before it returns an error, so that the
 * caller of the outer function finds the reason.
 *
 * @param status   a negative status; others are remembered as CALLBACK
 * @param message  English, for logs
 */
SYNCLINE_API void syncline_error_set(syncline_status status, syncline_string message);

/**
 * The name of a status as it is written in C, for example "SYNCLINE_ERROR_BUSY".
 *
 * @return static; "SYNCLINE_UNKNOWN" for a number this version does not know
 */
SYNCLINE_API const char *syncline_status_name(syncline_status status);

/**
 * One English sentence about a status.
 *
 * @return static
 */
SYNCLINE_API const char *syncline_status_description(syncline_status status);

/* ---- Log ---- */

/**
 * Sends log records to a function. Waits for a record that is being written by the sink before.
 *
 * @param level           how much to log from now on
 * @param sink            NULL: stderr
 * @param user_data       given to each call of the sink
 * @param free_user_data  runs once, after the last call of the sink, also when this call fails
 * @return IN_HOOK from inside of a sink
 */
SYNCLINE_API
enum syncline_status syncline_log_set_sink(syncline_log_level level,
                                           syncline_log_fn sink,
                                           void *user_data,
                                           syncline_free_fn free_user_data);

/**
 * Changes how much is logged. A level that does not exist changes nothing.
 */
SYNCLINE_API void syncline_log_set_level(syncline_log_level level);

/**
 * How much is logged; OFF until a sink or a level is set.
 */
SYNCLINE_API enum syncline_log_level syncline_log_get_level(void);

/* ---- Buffers ---- */

/**
 * Frees the content and makes the buffer empty, so that freeing twice is harmless.
 *
 * @param buffer  NULL is allowed
 */
SYNCLINE_API void syncline_buffer_free(struct syncline_buffer *buffer);

/**
 * Copies bytes into a new buffer, for answers of hooks.
 *
 * @param content     may be empty
 * @param out_buffer  the copy; free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_buffer_new(struct syncline_bytes content,
                                         struct syncline_buffer *out_buffer);

/**
 * The content as borrowed bytes.
 *
 * @return empty for NULL; valid until the buffer is freed
 */
SYNCLINE_API struct syncline_bytes syncline_buffer_bytes(const struct syncline_buffer *buffer);

/**
 * The content as a borrowed string.
 *
 * @return empty for NULL; valid until the buffer is freed
 */
SYNCLINE_API syncline_string syncline_buffer_string(const struct syncline_buffer *buffer);

/**
 * Frees a buffer made by syncline_buffer_box together with its content: for finalizers, which
 * know one pointer only.
 *
 * @param boxed  NULL is allowed
 */
SYNCLINE_API void syncline_buffer_free_pointer(struct syncline_buffer *boxed);

/**
 * Moves a buffer to the heap, for callers with a garbage collector. The given buffer is empty
 * afterwards.
 *
 * @param buffer     what to move
 * @param out_boxed  free it with syncline_buffer_free_pointer
 */
SYNCLINE_API
enum syncline_status syncline_buffer_box(struct syncline_buffer *buffer,
                                         struct syncline_buffer **out_boxed);

/* ---- Values ---- */

/**
 * Frees a value that Syncline returned, with all that is in it.
 *
 * @param value  NULL is allowed; never a value of your own or a part of a tree
 */
SYNCLINE_API void syncline_value_free(struct syncline_value *value);

/**
 * Copies a value of any origin into one allocation.
 *
 * @param value      any value
 * @param out_value  free it with syncline_value_free
 * @return LIMIT if it is nested more than 128 times
 */
SYNCLINE_API
enum syncline_status syncline_value_copy(const struct syncline_value *value,
                                         struct syncline_value **out_value);

/**
 * Deep equality. Integers and doubles differ, NaN equals itself, the order of keys does not
 * matter.
 *
 * @return false if one of them is NULL or not valid
 */
SYNCLINE_API
bool syncline_value_equals(const struct syncline_value *a,
                           const struct syncline_value *b);

/**
 * Looks a key up in an OBJECT.
 *
 * @return borrowed from the object; NULL if there is no such key or it is no object
 */
SYNCLINE_API
const struct syncline_value *syncline_value_get(const struct syncline_value *object,
                                                syncline_string key);

/**
 * Reads JSON text. Numbers without fraction and exponent are INT, others DOUBLE.
 *
 * @param json       one JSON value
 * @param out_value  free it with syncline_value_free
 * @return MALFORMED with the byte offset
 */
SYNCLINE_API
enum syncline_status syncline_value_from_json(syncline_string json,
                                              struct syncline_value **out_value);

/**
 * Writes JSON text, exactly as Dart's json.encode does; a reference becomes {"type", "id"}.
 *
 * @param value     any value
 * @param out_json  free it with syncline_buffer_free
 * @return INVALID_ARGUMENT for bytes, NaN and infinity; UNSUPPORTED for undefined and big
 *         integers
 */
SYNCLINE_API
enum syncline_status syncline_value_to_json(const struct syncline_value *value,
                                            struct syncline_buffer *out_json);

/* ---- Iterators ---- */

/**
 * Gives a handle back.
 *
 * @param iterator  NULL is allowed
 */
SYNCLINE_API void syncline_iterator_free(struct syncline_iterator *iterator);

/**
 * Steps to the next item; the first call steps to the first one.
 *
 * @return OK: on an item; END: past the last
 */
SYNCLINE_API enum syncline_status syncline_iterator_next(struct syncline_iterator *iterator);

/**
 * How many items come after the current one.
 */
SYNCLINE_API uint64_t syncline_iterator_remaining(const struct syncline_iterator *iterator);

/**
 * Position of the current item; 0 before the first step.
 */
SYNCLINE_API uint64_t syncline_iterator_index(const struct syncline_iterator *iterator);

/**
 * Map key, handler id, room or name of the current item; borrowed until the next step.
 */
SYNCLINE_API syncline_string syncline_iterator_key(const struct syncline_iterator *iterator);

/**
 * Value of the current item; borrowed until the next step.
 *
 * @return NULL if items have none
 */
SYNCLINE_API
const struct syncline_value *syncline_iterator_value(const struct syncline_iterator *iterator);

/**
 * Raw form of the current item (change, snapshot part); borrowed until the next step. Empty if
 * items have none.
 */
SYNCLINE_API
struct syncline_bytes syncline_iterator_bytes(const struct syncline_iterator *iterator);

/**
 * Handler of the current item.
 *
 * @param out_handler  free it with syncline_handler_free
 * @return TYPE_MISMATCH if items are no handlers
 */
SYNCLINE_API
enum syncline_status syncline_iterator_handler(const struct syncline_iterator *iterator,
                                               struct syncline_handler **out_handler);

/**
 * Change of the current item.
 *
 * @param out_change  free it with syncline_change_free
 * @return TYPE_MISMATCH if items are no changes
 */
SYNCLINE_API
enum syncline_status syncline_iterator_change(const struct syncline_iterator *iterator,
                                              struct syncline_change **out_change);

/* ---- Queues and subscriptions ---- */

/**
 * Makes a queue of your own.
 *
 * @param options    NULL: the defaults
 * @param out_queue  free it with syncline_queue_free
 */
SYNCLINE_API
enum syncline_status syncline_queue_new(const struct syncline_queue_options *options,
                                        struct syncline_queue **out_queue);

/**
 * Gives a handle back. With the last one the queue ends: events are dropped, its thread stops,
 * its descriptor closes. Waits for a running wakeup or callback of this queue, except from inside
 * of it.
 *
 * @param queue  NULL is allowed
 */
SYNCLINE_API void syncline_queue_free(struct syncline_queue *queue);

/**
 * One more handle to the same queue.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_queue *syncline_queue_retain(struct syncline_queue *queue);

/**
 * Takes the oldest event without waiting.
 *
 * @param queue      where
 * @param out_event  free it with syncline_event_free
 * @return END when the queue is empty
 */
SYNCLINE_API
enum syncline_status syncline_queue_poll(struct syncline_queue *queue,
                                         struct syncline_event **out_event);

/**
 * Takes the oldest event, waiting for one.
 *
 * @param queue       where
 * @param timeout_ms  how long to wait
 * @param out_event   free it with syncline_event_free
 * @return TIMEOUT; CANCELLED by syncline_queue_cancel_wait or when the queue ends
 */
SYNCLINE_API
enum syncline_status syncline_queue_wait(struct syncline_queue *queue,
                                         uint32_t timeout_ms,
                                         struct syncline_event **out_event);

/**
 * Runs the callbacks of waiting events here and now. Does nothing while another thread delivers
 * events of this queue.
 *
 * @param queue       whose events
 * @param events_max  how many at most; 0 = as many as wait now
 * @param out_count   how many were delivered; NULL is allowed
 */
SYNCLINE_API
enum syncline_status syncline_queue_dispatch(struct syncline_queue *queue,
                                             uint32_t events_max,
                                             uint32_t *out_count);

/**
 * Starts a delivery thread for this queue.
 *
 * @return UNCHANGED if there is one
 */
SYNCLINE_API enum syncline_status syncline_queue_start(struct syncline_queue *queue);

/**
 * Ends the delivery thread of this queue and waits for it (not from inside of its callback).
 * Events that wait stay.
 *
 * @return UNCHANGED if there is none
 */
SYNCLINE_API enum syncline_status syncline_queue_stop(struct syncline_queue *queue);

/**
 * How many events wait.
 */
SYNCLINE_API uint64_t syncline_queue_length(const struct syncline_queue *queue);

/**
 * A descriptor that is readable while events wait (level-triggered), for poll, epoll, kqueue and
 * event loops. Only wait on it; never read, write or close it. Made on the first call.
 *
 * @return -1 on failure
 */
SYNCLINE_API ptrdiff_t syncline_queue_fd(struct syncline_queue *queue);

/**
 * Sets what is called when the empty queue becomes non-empty; at once if events wait already.
 * Waits for a running call of the one before.
 *
 * @param queue           whose events
 * @param wakeup          NULL removes it
 * @param user_data       given to the wakeup
 * @param free_user_data  runs once, after the last call; also when this call fails
 */
SYNCLINE_API
enum syncline_status syncline_queue_set_wakeup(struct syncline_queue *queue,
                                               syncline_wakeup_fn wakeup,
                                               void *user_data,
                                               syncline_free_fn free_user_data);

/**
 * Sets a Dart port that gets a null message when the empty queue becomes non-empty: "come and
 * take". Replaces a wakeup set before.
 *
 * @param queue          whose events
 * @param port           the native port of a ReceivePort; 0 removes
 * @param post_c_object  NativeApi.postCObject
 */
SYNCLINE_API
enum syncline_status syncline_queue_set_dart_port(struct syncline_queue *queue,
                                                  int64_t port,
                                                  void *post_c_object);

/**
 * Makes syncline_queue_wait return CANCELLED on all threads that wait in it; if there are none,
 * the next wait returns at once.
 */
SYNCLINE_API enum syncline_status syncline_queue_cancel_wait(struct syncline_queue *queue);

/**
 * Ends a subscription. On return its callback neither runs nor will run, except when this is
 * called from inside of it; so do not hold a lock here that the callback wants.
 *
 * @param subscription  NULL is allowed
 */
SYNCLINE_API void syncline_subscription_free(struct syncline_subscription *subscription);

/**
 * False after the source was closed (CLOSED is or was on its way) or the queue was freed.
 */
SYNCLINE_API bool syncline_subscription_is_active(const struct syncline_subscription *subscription);

/* ---- Events ---- */

/**
 * Gives an event back that was polled or retained; never one that a callback only borrows.
 *
 * @param event  NULL is allowed
 */
SYNCLINE_API void syncline_event_free(struct syncline_event *event);

/**
 * Keeps an event beyond its callback. Free it with syncline_event_free.
 *
 * @return the same event; NULL for NULL
 */
SYNCLINE_API struct syncline_event *syncline_event_retain(const struct syncline_event *event);

/**
 * What kind of event this is. OVERFLOW for NULL: "read the state again" is always safe.
 */
SYNCLINE_API enum syncline_event_type syncline_event_get_type(const struct syncline_event *event);

/**
 * Number of the event in its queue; rises by one per event taken. Freed subscriptions and
 * overflows leave no gap.
 */
SYNCLINE_API uint64_t syncline_event_sequence(const struct syncline_event *event);

/**
 * When it happened, in milliseconds since 1970.
 */
SYNCLINE_API int64_t syncline_event_time_ms(const struct syncline_event *event);

/**
 * The user data of the listener it was delivered to. It may be gone when the subscription is.
 */
SYNCLINE_API void *syncline_event_user_data(const struct syncline_event *event);

/**
 * What a CHANGE event says.
 *
 * @param event     a CHANGE event
 * @param out_info  struct_size must be set; what it points to belongs to the event
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_change(const struct syncline_event *event,
                                           struct syncline_change_info *out_info);

/**
 * What an UPDATE event says.
 *
 * @param event     an UPDATE event
 * @param out_info  struct_size must be set; what it points to belongs to the event
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_update(const struct syncline_event *event,
                                           struct syncline_update_info *out_info);

/**
 * Any event as a JSON object, for logs and quick bindings. Bytes are arrays of numbers.
 *
 * @param event     any event
 * @param out_json  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_event_to_json(const struct syncline_event *event,
                                            struct syncline_buffer *out_json);

/* ---- Clocks and ids ---- */

/**
 * Makes a random peer id.
 */
SYNCLINE_API enum syncline_status syncline_peer_id_new(struct syncline_peer_id *out_peer);

/**
 * Reads the text form, a UUID version 4.
 *
 * @return MALFORMED
 */
SYNCLINE_API
enum syncline_status syncline_peer_id_parse(syncline_string text,
                                            struct syncline_peer_id *out_peer);

/**
 * Writes the text form.
 *
 * @param out_text  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_peer_id_format(const struct syncline_peer_id *peer,
                                             struct syncline_buffer *out_text);

/**
 * Compares the bytes.
 *
 * @return negative, 0 or positive; 0 if one is NULL
 */
SYNCLINE_API
int syncline_peer_id_compare(const struct syncline_peer_id *a,
                             const struct syncline_peer_id *b);

/**
 * The wall clock as a clock reading with counter 0.
 */
SYNCLINE_API syncline_hlc syncline_hlc_now(void);

/**
 * Packs a reading. A time before 1970 or past 48 bits keeps its low 48 bits.
 */
SYNCLINE_API syncline_hlc syncline_hlc_pack(int64_t time_ms, uint16_t counter);

/**
 * Milliseconds since 1970.
 */
SYNCLINE_API int64_t syncline_hlc_time_ms(syncline_hlc clock);

/**
 * The counter within the millisecond.
 */
SYNCLINE_API uint16_t syncline_hlc_counter(syncline_hlc clock);

/**
 * Compares two readings.
 *
 * @return negative, 0 or positive
 */
SYNCLINE_API int syncline_hlc_compare(syncline_hlc a, syncline_hlc b);

/**
 * The reading after a local event.
 *
 * @param clock      the reading before
 * @param now_ms     the wall clock
 * @param out_clock  the reading after
 */
SYNCLINE_API
enum syncline_status syncline_hlc_local_event(syncline_hlc clock,
                                              int64_t now_ms,
                                              syncline_hlc *out_clock);

/**
 * The reading after an event of another peer.
 *
 * @param clock         the reading before
 * @param now_ms        the wall clock
 * @param received      the reading of the event
 * @param drift_ms_max  how far `received` may be ahead of the wall clock; negative = no check
 * @param out_clock     the reading after
 * @return CLOCK_DRIFT
 */
SYNCLINE_API
enum syncline_status syncline_hlc_receive_event(syncline_hlc clock,
                                                int64_t now_ms,
                                                syncline_hlc received,
                                                int64_t drift_ms_max,
                                                syncline_hlc *out_clock);

/**
 * Reads the text form, `<milliseconds>.<counter>`.
 *
 * @return MALFORMED
 */
SYNCLINE_API enum syncline_status syncline_hlc_parse(syncline_string text, syncline_hlc *out_clock);

/**
 * Writes the text form.
 *
 * @param out_text  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_hlc_format(syncline_hlc clock,
                                         struct syncline_buffer *out_text);

/**
 * Reads the 24 bytes of the wire.
 *
 * @return MALFORMED for another length
 */
SYNCLINE_API
enum syncline_status syncline_operation_id_decode(struct syncline_bytes bytes,
                                                  struct syncline_operation_id *out_id);

/**
 * Reads the text form, `<peer>@<clock>`.
 *
 * @return MALFORMED
 */
SYNCLINE_API
enum syncline_status syncline_operation_id_parse(syncline_string text,
                                                 struct syncline_operation_id *out_id);

/**
 * Writes the text form.
 *
 * @param out_text  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_operation_id_format(const struct syncline_operation_id *id,
                                                  struct syncline_buffer *out_text);

/**
 * The clock of an operation; 0 for NULL.
 */
SYNCLINE_API syncline_hlc syncline_operation_id_clock(const struct syncline_operation_id *id);

/**
 * Compares by clock, then by peer: the replay order.
 *
 * @return negative, 0 or positive; 0 if one is NULL
 */
SYNCLINE_API
int syncline_operation_id_compare(const struct syncline_operation_id *a,
                                  const struct syncline_operation_id *b);

/* ---- Version vectors ---- */

/**
 * Makes an empty vector.
 *
 * @param out_vector  free it with syncline_version_vector_free
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_new(struct syncline_version_vector **out_vector);

/**
 * Gives a handle back.
 *
 * @param vector  NULL is allowed
 */
SYNCLINE_API void syncline_version_vector_free(struct syncline_version_vector *vector);

/**
 * Copies a vector.
 *
 * @param out_vector  free it with syncline_version_vector_free
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_copy(const struct syncline_version_vector *vector,
                                                  struct syncline_version_vector **out_vector);

/**
 * Reads the bytes of the wire.
 *
 * @param out_vector  free it with syncline_version_vector_free
 * @return MALFORMED with the byte offset
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_decode(struct syncline_bytes bytes,
                                                    struct syncline_version_vector **out_vector);

/**
 * Writes the bytes of the wire.
 *
 * @param out_bytes  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_encode(const struct syncline_version_vector *vector,
                                                    struct syncline_buffer *out_bytes);

/**
 * How many peers have an entry.
 */
SYNCLINE_API uint64_t syncline_version_vector_length(const struct syncline_version_vector *vector);

/**
 * The clock of a peer.
 *
 * @return NOT_FOUND, with out_clock unchanged
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_get(const struct syncline_version_vector *vector,
                                                 const struct syncline_peer_id *peer,
                                                 syncline_hlc *out_clock);

/**
 * Sets the clock of a peer; keeps the later one.
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_set(struct syncline_version_vector *vector,
                                                 const struct syncline_peer_id *peer,
                                                 syncline_hlc clock);

/**
 * Drops the entry of a peer.
 *
 * @return NOT_FOUND
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_remove(struct syncline_version_vector *vector,
                                                    const struct syncline_peer_id *peer);

/**
 * One entry, in order of first appearance.
 *
 * @return OUT_OF_RANGE
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_entry(const struct syncline_version_vector *vector,
                                                   uint64_t index,
                                                   struct syncline_peer_id *out_peer,
                                                   syncline_hlc *out_clock);

/**
 * Keeps the later clock of each peer.
 *
 * @param vector  changed
 * @param other   not changed; may be the same
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_merge(struct syncline_version_vector *vector,
                                                   const struct syncline_version_vector *other);

/**
 * The peers that all vectors have, with their earliest clocks.
 *
 * @param vectors     count handles
 * @param count       0 gives an empty vector
 * @param out_vector  free it with syncline_version_vector_free
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_intersect(const struct syncline_version_vector *const *vectors,
                                                       size_t count,
                                                       struct syncline_version_vector **out_vector);

/**
 * Whether the latest clock of `a` is later than that of `b`. An empty vector is never newer.
 */
SYNCLINE_API
bool syncline_version_vector_is_newer(const struct syncline_version_vector *a,
                                      const struct syncline_version_vector *b);

/**
 * Whether `a` has a later clock for every peer of `b`.
 */
SYNCLINE_API
bool syncline_version_vector_is_strictly_newer(const struct syncline_version_vector *a,
                                               const struct syncline_version_vector *b);

/**
 * Whether `a` has seen everything `b` has seen.
 */
SYNCLINE_API
bool syncline_version_vector_is_strictly_newer_or_equal(const struct syncline_version_vector *a,
                                                        const struct syncline_version_vector *b);

/**
 * Whether both have the same entries, in any order. False if one is NULL.
 */
SYNCLINE_API
bool syncline_version_vector_equals(const struct syncline_version_vector *a,
                                    const struct syncline_version_vector *b);

/**
 * The vector as a JSON object: text form of the peer to {"time_ms", "counter"}.
 *
 * @param out_json  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_version_vector_to_json(const struct syncline_version_vector *vector,
                                                     struct syncline_buffer *out_json);

/* ---- Changes ---- */

/**
 * Joins the parts of a change; nothing is applied.
 *
 * @param id          its id
 * @param deps        ids of the changes it builds on
 * @param dep_count   how many
 * @param payload     the operation in its envelope
 * @param out_change  free it with syncline_change_free
 */
SYNCLINE_API
enum syncline_status syncline_change_new(const struct syncline_operation_id *id,
                                         const struct syncline_operation_id *deps,
                                         size_t dep_count,
                                         struct syncline_bytes payload,
                                         struct syncline_change **out_change);

/**
 * Gives a handle back.
 *
 * @param change  NULL is allowed
 */
SYNCLINE_API void syncline_change_free(struct syncline_change *change);

/**
 * Reads the bytes of one change.
 *
 * @param out_change  free it with syncline_change_free
 * @return MALFORMED with the byte offset
 */
SYNCLINE_API
enum syncline_status syncline_change_decode(struct syncline_bytes bytes,
                                            struct syncline_change **out_change);

/**
 * Writes the bytes of one change.
 *
 * @param out_bytes  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_change_encode(const struct syncline_change *change,
                                            struct syncline_buffer *out_bytes);

/**
 * The id of a change; all zeroes for NULL.
 */
SYNCLINE_API struct syncline_operation_id syncline_change_id(const struct syncline_change *change);

/**
 * Who made it; all zeroes for NULL.
 */
SYNCLINE_API struct syncline_peer_id syncline_change_author(const struct syncline_change *change);

/**
 * When it was made; 0 for NULL.
 */
SYNCLINE_API syncline_hlc syncline_change_clock(const struct syncline_change *change);

/**
 * On how many changes it builds.
 */
SYNCLINE_API uint64_t syncline_change_dep_count(const struct syncline_change *change);

/**
 * One of the changes it builds on; all zeroes past the end.
 */
SYNCLINE_API
struct syncline_operation_id syncline_change_dep(const struct syncline_change *change,
                                                 uint64_t index);

/**
 * The operation in its envelope, borrowed from the change.
 */
SYNCLINE_API struct syncline_bytes syncline_change_payload(const struct syncline_change *change);

/**
 * The handler a change is for, borrowed from the change; "" if the envelope cannot be read.
 */
SYNCLINE_API syncline_string syncline_change_handler_id(const struct syncline_change *change);

/**
 * The type tag of that handler, borrowed from the change; "" if the envelope cannot be read.
 */
SYNCLINE_API syncline_string syncline_change_handler_type(const struct syncline_change *change);

/**
 * Compares by clock, then by author: the replay order.
 *
 * @return negative, 0 or positive; 0 if one is NULL
 */
SYNCLINE_API
int syncline_change_compare(const struct syncline_change *a,
                            const struct syncline_change *b);

/**
 * A change as a JSON object: id, author, clock, deps, handler, and the payload as numbers.
 *
 * @param out_json  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_change_to_json(const struct syncline_change *change,
                                             struct syncline_buffer *out_json);

/* ---- Documents: life, transactions, handlers ---- */

/**
 * Makes an empty document in memory.
 *
 * @param options       NULL: the defaults
 * @param out_document  free it with syncline_document_free
 */
SYNCLINE_API
enum syncline_status syncline_document_new(const struct syncline_document_options *options,
                                           struct syncline_document **out_document);

/**
 * Gives a handle back. Handlers, iterators and subscriptions keep the document alive.
 *
 * @param document  NULL is allowed
 */
SYNCLINE_API void syncline_document_free(struct syncline_document *document);

/**
 * One more handle to the same document.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_document *syncline_document_retain(struct syncline_document *document);

/**
 * Ends the document (Dart's dispose): later calls with any handle to it or its handlers give
 * CLOSED, and subscriptions get CLOSED as their last event. Closing twice is harmless.
 */
SYNCLINE_API enum syncline_status syncline_document_close(struct syncline_document *document);

/**
 * Whether the document was closed. False for NULL.
 */
SYNCLINE_API bool syncline_document_is_closed(const struct syncline_document *document);

/**
 * The document id; borrowed while the handle lives.
 */
SYNCLINE_API syncline_string syncline_document_id(const struct syncline_document *document);

/**
 * Who writes in this replica; all zeroes for NULL.
 */
SYNCLINE_API
struct syncline_peer_id syncline_document_peer_id(const struct syncline_document *document);

/**
 * The clock of the document; 0 when it is closed.
 */
SYNCLINE_API syncline_hlc syncline_document_clock(const struct syncline_document *document);

/**
 * Moves the clock on without an edit (Dart's prepareMutation).
 *
 * @param out_clock  the clock after it; NULL is allowed
 */
SYNCLINE_API
enum syncline_status syncline_document_tick(struct syncline_document *document,
                                            syncline_hlc *out_clock);

/**
 * Unit of text indexes and lengths of this handle.
 */
SYNCLINE_API
enum syncline_text_unit syncline_document_text_unit(const struct syncline_document *document);

/**
 * Whether there are neither changes nor a snapshot. True when it is closed.
 */
SYNCLINE_API bool syncline_document_is_empty(const struct syncline_document *document);

/**
 * Counts what a document consists of. Encodes the last snapshot to know its size.
 *
 * @param out_stats  struct_size must be set
 */
SYNCLINE_API
enum syncline_status syncline_document_get_stats(const struct syncline_document *document,
                                                 struct syncline_document_stats *out_stats);

/**
 * Asks for CHANGE, UPDATE and CLOSED events of the document.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_document_subscribe(struct syncline_document *document,
                                                 const struct syncline_listener *listener,
                                                 struct syncline_subscription **out_subscription);

/**
 * Begins a transaction on this thread: edits until the matching commit become one, and other
 * threads wait. Transactions nest; the outermost commit counts.
 *
 * @param tag  found in the events of the transaction; may be empty
 * @return BUSY if another thread's transaction lasts longer than lock_timeout_ms
 */
SYNCLINE_API
enum syncline_status syncline_document_begin(struct syncline_document *document,
                                             struct syncline_bytes tag);

/**
 * Ends a transaction of this thread; the outermost end makes its edits visible to peers.
 *
 * @return NO_TRANSACTION; WRONG_THREAD
 */
SYNCLINE_API enum syncline_status syncline_document_commit(struct syncline_document *document);

/**
 * Ends the whole transaction of this thread and drops its local edits; imports stay.
 *
 * @return NO_TRANSACTION; WRONG_THREAD
 */
SYNCLINE_API enum syncline_status syncline_document_rollback(struct syncline_document *document);

/**
 * Begins a transaction, runs `body` on this thread, commits. The body may call everything, also
 * free the document.
 *
 * @param tag        as syncline_document_begin
 * @param body       what to do; returns normally, never by longjmp
 * @param user_data  given to it
 */
SYNCLINE_API
enum syncline_status syncline_document_transact(struct syncline_document *document,
                                                struct syncline_bytes tag,
                                                syncline_transact_fn body,
                                                void *user_data);

/**
 * Whether this thread is inside of a transaction of the document. Waits while another thread is.
 */
SYNCLINE_API bool syncline_document_in_transaction(const struct syncline_document *document);

/**
 * The text with this id, made if it is not there.
 *
 * @param id        any text; the same in all replicas
 * @param options   NULL: a Fugue text; the other kind is TEXT
 * @param out_text  free it with syncline_text_free
 * @return TYPE_MISMATCH if the id is in use with another type
 */
SYNCLINE_API
enum syncline_status syncline_document_get_text(struct syncline_document *document,
                                                syncline_string id,
                                                const struct syncline_handler_options *options,
                                                struct syncline_text **out_text);

/**
 * The list with this id, made if it is not there.
 *
 * @param options   NULL: a Fugue list of JSON values; other kinds: LIST, MOVABLE_LIST, LIST_REF,
 *                  MOVABLE_LIST_REF
 * @param out_list  free it with syncline_list_free
 * @return TYPE_MISMATCH if the id is in use with another type
 */
SYNCLINE_API
enum syncline_status syncline_document_get_list(struct syncline_document *document,
                                                syncline_string id,
                                                const struct syncline_handler_options *options,
                                                struct syncline_list **out_list);

/**
 * The map with this id, made if it is not there.
 *
 * @param options  NULL: a map of JSON values; other kinds: OR_MAP, MAP_REF
 * @param out_map  free it with syncline_map_free
 * @return TYPE_MISMATCH if the id is in use with another type
 */
SYNCLINE_API
enum syncline_status syncline_document_get_map(struct syncline_document *document,
                                               syncline_string id,
                                               const struct syncline_handler_options *options,
                                               struct syncline_map **out_map);

/**
 * The set with this id, made if it is not there.
 *
 * @param options  NULL: an OR-set of JSON values
 * @param out_set  free it with syncline_set_free
 * @return TYPE_MISMATCH if the id is in use with another type
 */
SYNCLINE_API
enum syncline_status syncline_document_get_set(struct syncline_document *document,
                                               syncline_string id,
                                               const struct syncline_handler_options *options,
                                               struct syncline_set **out_set);

/**
 * The register with this id, made if it is not there.
 *
 * @param options       NULL: a register of a JSON value
 * @param out_register  free it with syncline_register_free
 * @return TYPE_MISMATCH if the id is in use with another type
 */
SYNCLINE_API
enum syncline_status syncline_document_get_register(struct syncline_document *document,
                                                    syncline_string id,
                                                    const struct syncline_handler_options *options,
                                                    struct syncline_register **out_register);

/**
 * The handler with this id, whatever its kind; none is made.
 *
 * @param out_handler  free it with syncline_handler_free
 * @return NOT_FOUND, with out_handler unchanged
 */
SYNCLINE_API
enum syncline_status syncline_document_get_handler(struct syncline_document *document,
                                                   syncline_string id,
                                                   struct syncline_handler **out_handler);

/**
 * Whether a handler with this id is registered.
 */
SYNCLINE_API
bool syncline_document_has_handler(const struct syncline_document *document,
                                   syncline_string id);

/**
 * All handlers in order of registration: key = id, and syncline_iterator_handler.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_document_iterate_handlers(const struct syncline_document *document,
                                                        struct syncline_iterator **out_iterator);

/* ---- Documents: nested handlers ---- */

/**
 * Lets the document make handlers of a type whenever an imported change or a reference names one
 * (Dart's registerFactory). Registering a type again changes what is made from then on.
 *
 * @param type  its type_name is the tag; 0 as kind: what Dart's tag says
 * @return INVALID_ARGUMENT if neither says what kind it is
 */
SYNCLINE_API
enum syncline_status syncline_document_register_type(struct syncline_document *document,
                                                     const struct syncline_handler_options *type);

/**
 * Registers the types whose tags carry no type arguments: texts and the kinds of references. New
 * documents have them, unless no_default_types was set.
 */
SYNCLINE_API
enum syncline_status syncline_document_register_default_types(struct syncline_document *document);

/**
 * The handler that a reference (a REF value) leads to, made if it is not there and its type is
 * registered (Dart's resolveHandler).
 *
 * @param type_name    of the reference; one that is registered with another type is given as it is
 * @param out_handler  free it with syncline_handler_free
 * @return NOT_FOUND, with out_handler unchanged
 */
SYNCLINE_API
enum syncline_status syncline_document_resolve(struct syncline_document *document,
                                               syncline_string id,
                                               syncline_string type_name,
                                               struct syncline_handler **out_handler);

/**
 * Makes the handlers that stored changes, the last snapshot and references name and whose types
 * are registered: for a document that was loaded before its types were registered.
 */
SYNCLINE_API enum syncline_status syncline_document_reconstruct(struct syncline_document *document);

/**
 * The handlers that no other one refers to, in order of registration: key = id, and
 * syncline_iterator_handler.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_document_iterate_roots(const struct syncline_document *document,
                                                     struct syncline_iterator **out_iterator);

/**
 * A new id for a handler: a random UUID.
 *
 * @param out_id  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_document_new_handler_id(struct syncline_document *document,
                                                      struct syncline_buffer *out_id);

/**
 * The content of all handlers that no other one refers to as a JSON object: handler id to value,
 * references replaced by what they lead to.
 *
 * @param out_json  free it with syncline_buffer_free
 * @return INVALID_ARGUMENT if a handler holds what JSON does not have (bytes); LIMIT as
 *         syncline_handler_to_json
 */
SYNCLINE_API
enum syncline_status syncline_document_to_json(const struct syncline_document *document,
                                               struct syncline_buffer *out_json);

/* ---- Documents: versions, changes, snapshots ---- */

/**
 * Everything the document has seen.
 *
 * @param out_vector  free it with syncline_version_vector_free
 */
SYNCLINE_API
enum syncline_status syncline_document_version_vector(const struct syncline_document *document,
                                                      struct syncline_version_vector **out_vector);

/**
 * The changes nothing builds on yet. Fills memory of the caller.
 *
 * @param ids        room for capacity ids; may be NULL if it is 0
 * @param capacity   how many fit
 * @param out_count  how many there are; may exceed capacity
 */
SYNCLINE_API
enum syncline_status syncline_document_frontiers(const struct syncline_document *document,
                                                 struct syncline_operation_id *ids,
                                                 size_t capacity,
                                                 size_t *out_count);

/**
 * Changes for another replica, as one message.
 *
 * @param since        what the other has seen; NULL = nothing
 * @param out_changes  for syncline_document_import_changes; free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_document_export_changes(const struct syncline_document *document,
                                                      const struct syncline_version_vector *since,
                                                      struct syncline_buffer *out_changes);

/**
 * As syncline_document_export_changes, for another that named its frontiers.
 *
 * @param frontiers  ids of the other
 * @param count      how many; 0 = all changes
 * @return NOT_FOUND, with out_changes unchanged, if an id is not known here
 */
SYNCLINE_API
enum syncline_status syncline_document_export_changes_from(const struct syncline_document *document,
                                                           const struct syncline_operation_id *frontiers,
                                                           size_t count,
                                                           struct syncline_buffer *out_changes);

/**
 * Applies changes of another replica, in any order; known ones are skipped.
 *
 * @param changes      what syncline_document_export_changes or an UPDATE event gave
 * @param out_applied  how many were new; NULL is allowed; 0 with UNCHANGED
 * @return UNCHANGED if all were known; PENDING if some were applied and others lack changes that
 *         are not here; CAUSALLY_NOT_READY if all new ones do. What lacks changes is not kept.
 */
SYNCLINE_API
enum syncline_status syncline_document_import_changes(struct syncline_document *document,
                                                      struct syncline_bytes changes,
                                                      uint64_t *out_applied);

/**
 * Changes one by one: key = handler id, and syncline_iterator_change and _bytes.
 *
 * @param since         what to leave out; NULL = nothing
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_document_iterate_changes(const struct syncline_document *document,
                                                       const struct syncline_version_vector *since,
                                                       struct syncline_iterator **out_iterator);

/**
 * Applies one change of another replica.
 *
 * @return UNCHANGED if it is known; CAUSALLY_NOT_READY if it came too early
 */
SYNCLINE_API
enum syncline_status syncline_document_apply_change(struct syncline_document *document,
                                                    const struct syncline_change *change);

/**
 * Makes a change of an operation given as bytes, and applies it.
 *
 * @param operation   an envelope: handler type, handler id, kind, body
 * @param out_change  free it with syncline_change_free
 * @return MALFORMED if it is no envelope
 */
SYNCLINE_API
enum syncline_status syncline_document_create_change(struct syncline_document *document,
                                                     struct syncline_bytes operation,
                                                     struct syncline_change **out_change);

/**
 * How many changes the log holds.
 */
SYNCLINE_API uint64_t syncline_document_change_count(const struct syncline_document *document);

/**
 * Takes a snapshot of everything and, unless told otherwise, drops the changes it covers.
 *
 * @param flags         SYNCLINE_SNAPSHOT_KEEP_HISTORY
 * @param out_snapshot  free it with syncline_snapshot_free; NULL is allowed
 * @return IN_TRANSACTION; UNSUPPORTED if changes are for a type of which nothing is
 *         known (register it first); CALLBACK if the save hook of a custom handler fails
 */
SYNCLINE_API
enum syncline_status syncline_document_take_snapshot(struct syncline_document *document,
                                                     uint32_t flags,
                                                     struct syncline_snapshot **out_snapshot);

/**
 * The snapshot taken or imported last.
 *
 * @param out_snapshot  free it with syncline_snapshot_free
 * @return NOT_FOUND, with out_snapshot unchanged
 */
SYNCLINE_API
enum syncline_status syncline_document_last_snapshot(const struct syncline_document *document,
                                                     struct syncline_snapshot **out_snapshot);

/**
 * Whether syncline_document_import_snapshot would take this snapshot.
 */
SYNCLINE_API
bool syncline_document_should_apply_snapshot(const struct syncline_document *document,
                                             const struct syncline_snapshot *snapshot);

/**
 * Takes a snapshot of another replica over, if it is not older than the last one.
 *
 * @param flags  SYNCLINE_SNAPSHOT_KEEP_HISTORY; SYNCLINE_SNAPSHOT_MERGE: as
 *               syncline_document_merge_snapshot
 * @return UNCHANGED if it is older
 */
SYNCLINE_API
enum syncline_status syncline_document_import_snapshot(struct syncline_document *document,
                                                       const struct syncline_snapshot *snapshot,
                                                       uint32_t flags);

/**
 * Joins a snapshot of another replica with the last one of this document, whichever is newer: of
 * each handler the newer state is taken as a whole. Concurrent snapshots lose no edit as long as
 * the changes are here, too; so keep history, or exchange changes first.
 *
 * @param flags  SYNCLINE_SNAPSHOT_KEEP_HISTORY
 */
SYNCLINE_API
enum syncline_status syncline_document_merge_snapshot(struct syncline_document *document,
                                                      const struct syncline_snapshot *snapshot,
                                                      uint32_t flags);

/**
 * Imports a snapshot and changes in one transaction. If the snapshot is refused because it is
 * older, the changes are ignored, too (as crdt_lf does).
 *
 * @param snapshot     NULL = none
 * @param changes      may be empty
 * @param flags        SYNCLINE_SNAPSHOT_KEEP_HISTORY, SYNCLINE_SNAPSHOT_MERGE
 * @param out_applied  how many changes were new; NULL is allowed
 * @return as syncline_document_import_changes; UNCHANGED if the snapshot is refused
 */
SYNCLINE_API
enum syncline_status syncline_document_import(struct syncline_document *document,
                                              const struct syncline_snapshot *snapshot,
                                              struct syncline_bytes changes,
                                              uint32_t flags,
                                              uint64_t *out_applied);

/**
 * Drops changes that the last snapshot covers and that `protect_from` has seen (Dart's
 * garbageCollect). Without a snapshot nothing is dropped.
 *
 * @param protect_from  what every peer has seen
 * @return UNCHANGED if there was nothing to drop
 */
SYNCLINE_API
enum syncline_status syncline_document_prune(struct syncline_document *document,
                                             const struct syncline_version_vector *protect_from);

/* ---- Snapshots ---- */

/**
 * Gives a handle back.
 *
 * @param snapshot  NULL is allowed
 */
SYNCLINE_API void syncline_snapshot_free(struct syncline_snapshot *snapshot);

/**
 * Reads the bytes of a snapshot.
 *
 * @param out_snapshot  free it with syncline_snapshot_free
 * @return MALFORMED with the byte offset
 */
SYNCLINE_API
enum syncline_status syncline_snapshot_decode(struct syncline_bytes bytes,
                                              struct syncline_snapshot **out_snapshot);

/**
 * Writes the bytes of a snapshot.
 *
 * @param out_bytes  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_snapshot_encode(const struct syncline_snapshot *snapshot,
                                              struct syncline_buffer *out_bytes);

/**
 * Its id, borrowed from the snapshot.
 */
SYNCLINE_API syncline_string syncline_snapshot_id(const struct syncline_snapshot *snapshot);

/**
 * What it covers.
 *
 * @param out_vector  free it with syncline_version_vector_free
 */
SYNCLINE_API
enum syncline_status syncline_snapshot_version_vector(const struct syncline_snapshot *snapshot,
                                                      struct syncline_version_vector **out_vector);

/**
 * Its parts: key = handler id, and syncline_iterator_bytes.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_snapshot_iterate(const struct syncline_snapshot *snapshot,
                                               struct syncline_iterator **out_iterator);

/**
 * Joins two snapshots as crdt_lf does: the newer state of each handler, the later clock of each
 * peer.
 *
 * @param out_snapshot  free it with syncline_snapshot_free
 */
SYNCLINE_API
enum syncline_status syncline_snapshot_merge(const struct syncline_snapshot *a,
                                             const struct syncline_snapshot *b,
                                             struct syncline_snapshot **out_snapshot);

/* ---- Handlers ---- */

/**
 * Gives a handle back. The handler itself stays in its document.
 *
 * @param handler  NULL is allowed
 */
SYNCLINE_API void syncline_handler_free(struct syncline_handler *handler);

/**
 * One more handle to the same handler.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_handler *syncline_handler_retain(struct syncline_handler *handler);

/**
 * Its kind. CUSTOM for NULL.
 */
SYNCLINE_API
enum syncline_handler_kind syncline_handler_get_kind(const struct syncline_handler *handler);

/**
 * Its id, borrowed while the handle lives.
 */
SYNCLINE_API syncline_string syncline_handler_id(const struct syncline_handler *handler);

/**
 * Its type tag on the wire, borrowed while the handle lives.
 */
SYNCLINE_API syncline_string syncline_handler_type_name(const struct syncline_handler *handler);

/**
 * The document it is a part of.
 *
 * @param out_document  free it with syncline_document_free
 */
SYNCLINE_API
enum syncline_status syncline_handler_document(const struct syncline_handler *handler,
                                               struct syncline_document **out_document);

/**
 * Number of commits that touched it; equal readings: nothing changed in between.
 */
SYNCLINE_API uint64_t syncline_handler_revision(const struct syncline_handler *handler);

/**
 * How many changes of the log are for this handler. Walks the log.
 */
SYNCLINE_API uint64_t syncline_handler_change_count(const struct syncline_handler *handler);

/**
 * The changes for this handler: syncline_iterator_change and _bytes.
 *
 * @param since         what to leave out; NULL = nothing
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_handler_iterate_changes(const struct syncline_handler *handler,
                                                      const struct syncline_version_vector *since,
                                                      struct syncline_iterator **out_iterator);

/**
 * Its part of a snapshot.
 *
 * @param out_state  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_handler_snapshot_state(const struct syncline_handler *handler,
                                                     struct syncline_buffer *out_state);

/**
 * Its content as JSON text. A reference that is not resolved is {"type", "id"}.
 *
 * @param resolve_refs  whether references are replaced by what they refer to: null for one that
 *                      leads nowhere or into a circle
 * @param out_json      free it with syncline_buffer_free
 * @return INVALID_ARGUMENT if it holds what JSON does not have (bytes); LIMIT if what it refers
 *         to is too large or nested more than 128 times: then take parts of it
 */
SYNCLINE_API
enum syncline_status syncline_handler_to_json(const struct syncline_handler *handler,
                                              bool resolve_refs,
                                              struct syncline_buffer *out_json);

/**
 * Its content as a value.
 *
 * @param resolve_refs  as syncline_handler_to_json; else references are REF values
 * @param out_value     free it with syncline_value_free
 * @return LIMIT as syncline_handler_to_json
 */
SYNCLINE_API
enum syncline_status syncline_handler_to_value(const struct syncline_handler *handler,
                                               bool resolve_refs,
                                               struct syncline_value **out_value);

/**
 * Asks for CHANGE and CLOSED events of this handler.
 *
 * @param listener          who is told; `deep` includes all that a container refers to
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_handler_subscribe(struct syncline_handler *handler,
                                                const struct syncline_listener *listener,
                                                struct syncline_subscription **out_subscription);

/**
 * The same handler as a text.
 *
 * @param out_text  free it with syncline_text_free
 * @return TYPE_MISMATCH
 */
SYNCLINE_API
enum syncline_status syncline_handler_as_text(struct syncline_handler *handler,
                                              struct syncline_text **out_text);

/**
 * The same handler as a list.
 *
 * @param out_list  free it with syncline_list_free
 * @return TYPE_MISMATCH
 */
SYNCLINE_API
enum syncline_status syncline_handler_as_list(struct syncline_handler *handler,
                                              struct syncline_list **out_list);

/**
 * The same handler as a map.
 *
 * @param out_map  free it with syncline_map_free
 * @return TYPE_MISMATCH
 */
SYNCLINE_API
enum syncline_status syncline_handler_as_map(struct syncline_handler *handler,
                                             struct syncline_map **out_map);

/**
 * The same handler as a set.
 *
 * @param out_set  free it with syncline_set_free
 * @return TYPE_MISMATCH
 */
SYNCLINE_API
enum syncline_status syncline_handler_as_set(struct syncline_handler *handler,
                                             struct syncline_set **out_set);

/**
 * The same handler as a register.
 *
 * @param out_register  free it with syncline_register_free
 * @return TYPE_MISMATCH
 */
SYNCLINE_API
enum syncline_status syncline_handler_as_register(struct syncline_handler *handler,
                                                  struct syncline_register **out_register);

/**
 * The same handler as a custom handler.
 *
 * @param out_custom  free it with syncline_custom_free
 * @return TYPE_MISMATCH
 */
SYNCLINE_API
enum syncline_status syncline_handler_as_custom(struct syncline_handler *handler,
                                                struct syncline_custom **out_custom);

/* ---- Texts ---- */

/**
 * Gives a handle back.
 *
 * @param text  NULL is allowed
 */
SYNCLINE_API void syncline_text_free(struct syncline_text *text);

/**
 * One more handle to the same text.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_text *syncline_text_retain(struct syncline_text *text);

/**
 * The same text as a handler.
 *
 * @param out_handler  free it with syncline_handler_free
 */
SYNCLINE_API
enum syncline_status syncline_text_as_handler(struct syncline_text *text,
                                              struct syncline_handler **out_handler);

/**
 * Asks for CHANGE events (deltas) and CLOSED of this text.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_text_subscribe(struct syncline_text *text,
                                             const struct syncline_listener *listener,
                                             struct syncline_subscription **out_subscription);

/**
 * Length in the document's text unit. 0 when the document is closed.
 */
SYNCLINE_API uint64_t syncline_text_length(const struct syncline_text *text);

/**
 * Inserts text before a position.
 *
 * @param index    in the document's text unit
 * @param content  empty is allowed and changes nothing
 * @return OUT_OF_RANGE if `index` is past the end; NOT_ON_BOUNDARY inside of a character, except
 *         with unit UTF-16
 */
SYNCLINE_API
enum syncline_status syncline_text_insert(struct syncline_text *text,
                                          uint64_t index,
                                          syncline_string content);

/**
 * As syncline_text_insert, with UTF-16; lone surrogates survive.
 *
 * @param index    in the document's text unit
 * @param content  empty is allowed and changes nothing
 * @return OUT_OF_RANGE; NOT_ON_BOUNDARY
 */
SYNCLINE_API
enum syncline_status syncline_text_insert_utf16(struct syncline_text *text,
                                                uint64_t index,
                                                struct syncline_utf16 content);

/**
 * Removes a range.
 *
 * @param index  where it begins
 * @param count  how long it is; 0 changes nothing
 * @return OUT_OF_RANGE if it reaches past the end; NOT_ON_BOUNDARY
 */
SYNCLINE_API
enum syncline_status syncline_text_remove(struct syncline_text *text,
                                          uint64_t index,
                                          uint64_t count);

/**
 * Overwrites as much as `content` is long. Overwritten characters keep their place even if
 * somebody else removes them at the same time.
 *
 * @param index    where it begins
 * @param content  as long as what it replaces, in the document's text unit
 * @return OUT_OF_RANGE if it reaches past the end; NOT_ON_BOUNDARY
 */
SYNCLINE_API
enum syncline_status syncline_text_update(struct syncline_text *text,
                                          uint64_t index,
                                          syncline_string content);

/**
 * Removes a range and inserts text there, in one transaction: one typing gesture.
 *
 * @param index         where
 * @param remove_count  how much goes
 * @param content       what comes
 * @return OUT_OF_RANGE; NOT_ON_BOUNDARY
 */
SYNCLINE_API
enum syncline_status syncline_text_splice(struct syncline_text *text,
                                          uint64_t index,
                                          uint64_t remove_count,
                                          syncline_string content);

/**
 * Replaces the whole text by few edits (Myers difference), in one transaction.
 *
 * @param content  the new text
 */
SYNCLINE_API
enum syncline_status syncline_text_set_string(struct syncline_text *text,
                                              syncline_string content);

/**
 * Applies a delta, in one transaction. Nothing happens unless all of it fits.
 *
 * @param ops    RETAIN, INSERT and REMOVE, in order from index 0
 * @param count  how many
 * @return OUT_OF_RANGE; NOT_ON_BOUNDARY; UNSUPPORTED for embeds and attributes
 */
SYNCLINE_API
enum syncline_status syncline_text_apply_delta(struct syncline_text *text,
                                               const struct syncline_text_op *ops,
                                               size_t count);

/**
 * The whole text; lone surrogates become U+FFFD.
 *
 * @param out_utf8  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_text_to_string(const struct syncline_text *text,
                                             struct syncline_buffer *out_utf8);

/**
 * The whole text as UTF-16, native endian.
 *
 * @param out_utf16  its len counts bytes; free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_text_to_utf16(const struct syncline_text *text,
                                            struct syncline_buffer *out_utf16);

/**
 * A part of the text; lone surrogates (also those cut off) become U+FFFD.
 *
 * @param index     where it begins
 * @param count     how long it is
 * @param out_utf8  free it with syncline_buffer_free
 * @return OUT_OF_RANGE; NOT_ON_BOUNDARY
 */
SYNCLINE_API
enum syncline_status syncline_text_slice(const struct syncline_text *text,
                                         uint64_t index,
                                         uint64_t count,
                                         struct syncline_buffer *out_utf8);

/**
 * Copies text from a position on into memory of the caller: as many whole characters as fit, no
 * NUL behind them.
 *
 * @param index     where to begin
 * @param utf8      room for capacity bytes; may be NULL if it is 0
 * @param capacity  in bytes
 * @param out_len   how many bytes were written
 * @return END if `index` is the end of the text; OUT_OF_RANGE; NOT_ON_BOUNDARY
 */
SYNCLINE_API
enum syncline_status syncline_text_copy(const struct syncline_text *text,
                                        uint64_t index,
                                        char *utf8,
                                        size_t capacity,
                                        size_t *out_len);

/**
 * A position in another unit.
 *
 * @param index      a position, in unit `from`
 * @param from       its unit
 * @param to         the unit wanted
 * @param out_index  the same position, in unit `to`
 * @return OUT_OF_RANGE; NOT_ON_BOUNDARY
 */
SYNCLINE_API
enum syncline_status syncline_text_convert_index(const struct syncline_text *text,
                                                 uint64_t index,
                                                 syncline_text_unit from,
                                                 syncline_text_unit to,
                                                 uint64_t *out_index);

/**
 * The difference of two strings (Myers), without a document: an ARRAY of objects with one key
 * each, "retain", "insert" or "remove".
 *
 * @param unit       of "retain" and "remove"
 * @param out_delta  free it with syncline_value_free
 */
SYNCLINE_API
enum syncline_status syncline_text_diff(syncline_string before,
                                        syncline_string after,
                                        syncline_text_unit unit,
                                        struct syncline_value **out_delta);

/**
 * A position that stays at its character while the text changes.
 *
 * @param index         a position; it stays behind the character before it
 * @param out_position  for syncline_text_position_index; free it with syncline_buffer_free
 * @return OUT_OF_RANGE; NOT_ON_BOUNDARY; TYPE_MISMATCH for a plain text, whose characters have no
 *         identity
 */
SYNCLINE_API
enum syncline_status syncline_text_position_at(const struct syncline_text *text,
                                               uint64_t index,
                                               struct syncline_buffer *out_position);

/**
 * As syncline_text_position_at, with the character on either side: the end of a selection stays
 * before the character behind it.
 *
 * @param out_position  for syncline_text_position_index_beside with the same affinity
 * @return as syncline_text_position_at
 */
SYNCLINE_API
enum syncline_status syncline_text_position_beside(const struct syncline_text *text,
                                                   uint64_t index,
                                                   syncline_affinity affinity,
                                                   struct syncline_buffer *out_position);

/**
 * Where a position of syncline_text_position_at is now.
 *
 * @param position   its bytes
 * @param out_index  in the document's text unit
 * @return NOT_FOUND, with out_index unchanged, if its character is unknown here; MALFORMED;
 *         TYPE_MISMATCH for a plain text
 */
SYNCLINE_API
enum syncline_status syncline_text_position_index(const struct syncline_text *text,
                                                  struct syncline_bytes position,
                                                  uint64_t *out_index);

/**
 * Where a position of syncline_text_position_beside is now.
 *
 * @param affinity  as it was made
 * @return as syncline_text_position_index
 */
SYNCLINE_API
enum syncline_status syncline_text_position_index_beside(const struct syncline_text *text,
                                                         struct syncline_bytes position,
                                                         syncline_affinity affinity,
                                                         uint64_t *out_index);

/* ---- Lists ---- */

/**
 * Gives a handle back.
 *
 * @param list  NULL is allowed
 */
SYNCLINE_API void syncline_list_free(struct syncline_list *list);

/**
 * One more handle to the same list.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_list *syncline_list_retain(struct syncline_list *list);

/**
 * The same list as a handler.
 *
 * @param out_handler  free it with syncline_handler_free
 */
SYNCLINE_API
enum syncline_status syncline_list_as_handler(struct syncline_list *list,
                                              struct syncline_handler **out_handler);

/**
 * Asks for CHANGE events (list deltas) and CLOSED of this list.
 *
 * @param listener          who is told; `deep` includes all that a list of references leads to
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_list_subscribe(struct syncline_list *list,
                                             const struct syncline_listener *listener,
                                             struct syncline_subscription **out_subscription);

/**
 * Number of elements. 0 when the document is closed.
 */
SYNCLINE_API uint64_t syncline_list_length(const struct syncline_list *list);

/**
 * The value of an element.
 *
 * @param out_value  free it with syncline_value_free
 * @return OUT_OF_RANGE
 */
SYNCLINE_API
enum syncline_status syncline_list_get(const struct syncline_list *list,
                                       uint64_t index,
                                       struct syncline_value **out_value);

/**
 * Inserts elements before a position. A null in a Fugue list or a movable list is never seen, as
 * in Dart.
 *
 * @param values  with codec BYTES they must be BYTES, in lists of references REF
 * @param count   how many; 0 changes nothing
 * @return OUT_OF_RANGE if `index` is past the end; UNSUPPORTED for undefined and big integers;
 *         INVALID_ARGUMENT for what the list cannot store (NaN, infinity, bytes in JSON);
 *         LIMIT for more than 2^20 values, with all that is in them
 */
SYNCLINE_API
enum syncline_status syncline_list_insert(struct syncline_list *list,
                                          uint64_t index,
                                          const struct syncline_value *values,
                                          size_t count);

/**
 * Inserts elements at the end, wherever that is by now.
 *
 * @param values  as syncline_list_insert
 * @param count   how many; 0 changes nothing
 * @return as syncline_list_insert
 */
SYNCLINE_API
enum syncline_status syncline_list_push(struct syncline_list *list,
                                        const struct syncline_value *values,
                                        size_t count);

/**
 * Removes elements.
 *
 * @param index  where they begin
 * @param count  how many; 0 changes nothing
 * @return OUT_OF_RANGE if they reach past the end
 */
SYNCLINE_API
enum syncline_status syncline_list_remove(struct syncline_list *list,
                                          uint64_t index,
                                          uint64_t count);

/**
 * Replaces an element. If two do so at the same time, both new ones are seen in a Fugue list; in
 * the other kinds the later one wins.
 *
 * @param value  as syncline_list_insert
 * @return OUT_OF_RANGE; else as syncline_list_insert
 */
SYNCLINE_API
enum syncline_status syncline_list_update(struct syncline_list *list,
                                          uint64_t index,
                                          const struct syncline_value *value);

/**
 * Moves an element to where it has `to` others before it; it stays the same element, so what
 * others write into it meanwhile stays with it.
 *
 * @param from  where it is
 * @param to    where it shall be; the length means the end, too
 * @return TYPE_MISMATCH unless it is a movable kind; OUT_OF_RANGE
 */
SYNCLINE_API
enum syncline_status syncline_list_move(struct syncline_list *list,
                                        uint64_t from,
                                        uint64_t to);

/**
 * Inserts a reference to a handler before a position.
 *
 * @param child  of the same document
 * @return TYPE_MISMATCH unless it is a list of references; OUT_OF_RANGE; INVALID_ARGUMENT for a
 *         child of another document
 */
SYNCLINE_API
enum syncline_status syncline_list_insert_ref(struct syncline_list *list,
                                              uint64_t index,
                                              const struct syncline_handler *child);

/**
 * The handler that a reference leads to, made if it is not there and its type is registered.
 *
 * @param out_child  free it with syncline_handler_free
 * @return NOT_FOUND, with out_child unchanged, if it leads nowhere; TYPE_MISMATCH unless it is a
 *         list of references; OUT_OF_RANGE
 */
SYNCLINE_API
enum syncline_status syncline_list_get_ref(const struct syncline_list *list,
                                           uint64_t index,
                                           struct syncline_handler **out_child);

/**
 * All elements: syncline_iterator_index and _value.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_list_iterate(const struct syncline_list *list,
                                           struct syncline_iterator **out_iterator);

/**
 * The values of an element of a movable list that lost against the one it has, written without
 * knowledge of it and of each other: value = {"value", "peer", "clock"}, newest first. Other
 * kinds have none, and what was pruned is not found.
 *
 * @param out_iterator  free it with syncline_iterator_free
 * @return OUT_OF_RANGE
 */
SYNCLINE_API
enum syncline_status syncline_list_iterate_conflicts(const struct syncline_list *list,
                                                     uint64_t index,
                                                     struct syncline_iterator **out_iterator);

/**
 * The whole list as an ARRAY.
 *
 * @param resolve_refs  whether references are replaced by what they refer to: null for one that
 *                      leads nowhere or into a circle
 * @param out_array     free it with syncline_value_free
 * @return LIMIT as syncline_handler_to_json
 */
SYNCLINE_API
enum syncline_status syncline_list_to_value(const struct syncline_list *list,
                                            bool resolve_refs,
                                            struct syncline_value **out_array);

/**
 * A position that stays at its element while the list changes, and follows it where it moves.
 *
 * @param index         a position; it stays behind the element before it
 * @param out_position  for syncline_list_position_index; free it with syncline_buffer_free
 * @return OUT_OF_RANGE; TYPE_MISMATCH for the kind LIST, whose elements have no identity
 */
SYNCLINE_API
enum syncline_status syncline_list_position_at(const struct syncline_list *list,
                                               uint64_t index,
                                               struct syncline_buffer *out_position);

/**
 * As syncline_list_position_at, with the element on either side.
 *
 * @param out_position  for syncline_list_position_index_beside with the same affinity
 * @return as syncline_list_position_at
 */
SYNCLINE_API
enum syncline_status syncline_list_position_beside(const struct syncline_list *list,
                                                   uint64_t index,
                                                   syncline_affinity affinity,
                                                   struct syncline_buffer *out_position);

/**
 * Where a position of syncline_list_position_at is now.
 *
 * @param position  its bytes
 * @return NOT_FOUND, with out_index unchanged, if its element is unknown here; MALFORMED;
 *         TYPE_MISMATCH as syncline_list_position_at
 */
SYNCLINE_API
enum syncline_status syncline_list_position_index(const struct syncline_list *list,
                                                  struct syncline_bytes position,
                                                  uint64_t *out_index);

/**
 * Where a position of syncline_list_position_beside is now.
 *
 * @param affinity  as it was made
 * @return as syncline_list_position_index
 */
SYNCLINE_API
enum syncline_status syncline_list_position_index_beside(const struct syncline_list *list,
                                                         struct syncline_bytes position,
                                                         syncline_affinity affinity,
                                                         uint64_t *out_index);

/* ---- Maps ---- */

/**
 * Gives a handle back.
 *
 * @param map  NULL is allowed
 */
SYNCLINE_API void syncline_map_free(struct syncline_map *map);

/**
 * One more handle to the same map.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_map *syncline_map_retain(struct syncline_map *map);

/**
 * The same map as a handler.
 *
 * @param out_handler  free it with syncline_handler_free
 */
SYNCLINE_API
enum syncline_status syncline_map_as_handler(struct syncline_map *map,
                                             struct syncline_handler **out_handler);

/**
 * Asks for CHANGE events (keys with old and new value) and CLOSED of this map.
 *
 * @param listener          who is told; `deep` includes all that a map of references leads to
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_map_subscribe(struct syncline_map *map,
                                            const struct syncline_listener *listener,
                                            struct syncline_subscription **out_subscription);

/**
 * Number of keys. 0 when the document is closed.
 */
SYNCLINE_API uint64_t syncline_map_length(const struct syncline_map *map);

/**
 * Whether a key is present.
 */
SYNCLINE_API bool syncline_map_contains(const struct syncline_map *map, syncline_string key);

/**
 * The value of a key.
 *
 * @param out_value  free it with syncline_value_free
 * @return NOT_FOUND, with *out_value set to NULL
 */
SYNCLINE_API
enum syncline_status syncline_map_get(const struct syncline_map *map,
                                      syncline_string key,
                                      struct syncline_value **out_value);

/**
 * Sets a key (Dart's put of an OR-map).
 *
 * @param key    any text
 * @param value  with codec BYTES it must be BYTES, in maps of references REF
 * @return UNSUPPORTED for undefined and big integers; INVALID_ARGUMENT for what the map cannot
 *         store (NaN, infinity, bytes in JSON)
 */
SYNCLINE_API
enum syncline_status syncline_map_set(struct syncline_map *map,
                                      syncline_string key,
                                      const struct syncline_value *value);

/**
 * Sets a key only where it is present: if somebody removes it at the same time, it stays removed.
 *
 * @return NOT_FOUND if it is not present; TYPE_MISMATCH for an OR-map, which has no such
 *         operation; else as syncline_map_set
 */
SYNCLINE_API
enum syncline_status syncline_map_update(struct syncline_map *map,
                                         syncline_string key,
                                         const struct syncline_value *value);

/**
 * Removes a key.
 *
 * @return NOT_FOUND if it is not present
 */
SYNCLINE_API
enum syncline_status syncline_map_remove(struct syncline_map *map,
                                         syncline_string key);

/**
 * All entries: key and value. A key of an OR-map that is no string is its JSON text; of keys with
 * the same text only the first is here.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_map_iterate(const struct syncline_map *map,
                                          struct syncline_iterator **out_iterator);

/**
 * The values of a key that lost against the one it has, written without knowledge of it and of
 * each other: value = {"value", "peer", "clock"}, newest first. What was pruned is not found, and
 * while the open transaction has set the key there are none.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_map_iterate_conflicts(const struct syncline_map *map,
                                                    syncline_string key,
                                                    struct syncline_iterator **out_iterator);

/**
 * The whole map as an OBJECT.
 *
 * @param resolve_refs  whether references are replaced by what they refer to: null for one that
 *                      leads nowhere or into a circle
 * @param out_object    free it with syncline_value_free
 * @return LIMIT as syncline_handler_to_json
 */
SYNCLINE_API
enum syncline_status syncline_map_to_value(const struct syncline_map *map,
                                           bool resolve_refs,
                                           struct syncline_value **out_object);

/**
 * Puts a reference to a handler at a key.
 *
 * @param child  of the same document
 * @return TYPE_MISMATCH unless it is a map of references; INVALID_ARGUMENT for a child of another
 *         document
 */
SYNCLINE_API
enum syncline_status syncline_map_set_ref(struct syncline_map *map,
                                          syncline_string key,
                                          const struct syncline_handler *child);

/**
 * The handler that the reference at a key leads to, made if it is not there and its type is
 * registered.
 *
 * @param out_child  free it with syncline_handler_free
 * @return NOT_FOUND, with out_child unchanged, without such a key or if it leads nowhere;
 *         TYPE_MISMATCH unless it is a map of references
 */
SYNCLINE_API
enum syncline_status syncline_map_get_ref(const struct syncline_map *map,
                                          syncline_string key,
                                          struct syncline_handler **out_child);

/**
 * As syncline_map_get, for an OR-map with keys of any type.
 *
 * @param key        any JSON value; maps of other kinds have string keys only
 * @param out_value  free it with syncline_value_free
 * @return NOT_FOUND, with *out_value set to NULL
 */
SYNCLINE_API
enum syncline_status syncline_map_get_any(const struct syncline_map *map,
                                          const struct syncline_value *key,
                                          struct syncline_value **out_value);

/**
 * As syncline_map_set, for an OR-map with keys of any type.
 *
 * @return as syncline_map_set, also for the key
 */
SYNCLINE_API
enum syncline_status syncline_map_set_any(struct syncline_map *map,
                                          const struct syncline_value *key,
                                          const struct syncline_value *value);

/**
 * As syncline_map_remove, for an OR-map with keys of any type.
 *
 * @return NOT_FOUND if it is not present
 */
SYNCLINE_API
enum syncline_status syncline_map_remove_any(struct syncline_map *map,
                                             const struct syncline_value *key);

/* ---- Sets ---- */

/**
 * Gives a handle back.
 *
 * @param set  NULL is allowed
 */
SYNCLINE_API void syncline_set_free(struct syncline_set *set);

/**
 * One more handle to the same set.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_set *syncline_set_retain(struct syncline_set *set);

/**
 * The same set as a handler.
 *
 * @param out_handler  free it with syncline_handler_free
 */
SYNCLINE_API
enum syncline_status syncline_set_as_handler(struct syncline_set *set,
                                             struct syncline_handler **out_handler);

/**
 * Asks for CHANGE events (elements that came or went) and CLOSED of this set.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_set_subscribe(struct syncline_set *set,
                                            const struct syncline_listener *listener,
                                            struct syncline_subscription **out_subscription);

/**
 * Number of elements. 0 when the document is closed.
 */
SYNCLINE_API uint64_t syncline_set_length(const struct syncline_set *set);

/**
 * Whether an element is present. Numbers compare by value; lists and objects never equal others,
 * as in Dart.
 */
SYNCLINE_API
bool syncline_set_contains(const struct syncline_set *set,
                           const struct syncline_value *value);

/**
 * Adds an element. Adding one that is present again protects it from removals at the same time.
 *
 * @param value  with codec BYTES it must be BYTES
 * @return UNSUPPORTED for undefined, big integers and references; INVALID_ARGUMENT for what the
 *         codec cannot store
 */
SYNCLINE_API
enum syncline_status syncline_set_insert(struct syncline_set *set,
                                         const struct syncline_value *value);

/**
 * Removes an element.
 *
 * @return NOT_FOUND if it is not present; else as syncline_set_insert
 */
SYNCLINE_API
enum syncline_status syncline_set_remove(struct syncline_set *set,
                                         const struct syncline_value *value);

/**
 * All elements: values without keys.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_set_iterate(const struct syncline_set *set,
                                          struct syncline_iterator **out_iterator);

/**
 * The whole set as an ARRAY.
 *
 * @param out_array  free it with syncline_value_free
 */
SYNCLINE_API
enum syncline_status syncline_set_to_value(const struct syncline_set *set,
                                           struct syncline_value **out_array);

/* ---- Registers ---- */

/**
 * Gives a handle back.
 *
 * @param reg  NULL is allowed
 */
SYNCLINE_API void syncline_register_free(struct syncline_register *reg);

/**
 * One more handle to the same register.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_register *syncline_register_retain(struct syncline_register *reg);

/**
 * The same register as a handler.
 *
 * @param out_handler  free it with syncline_handler_free
 */
SYNCLINE_API
enum syncline_status syncline_register_as_handler(struct syncline_register *reg,
                                                  struct syncline_handler **out_handler);

/**
 * Asks for CHANGE events (key "" with old and new value) and CLOSED of this register.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_register_subscribe(struct syncline_register *reg,
                                                 const struct syncline_listener *listener,
                                                 struct syncline_subscription **out_subscription);

/**
 * The value.
 *
 * @param out_value  free it with syncline_value_free
 * @return NOT_FOUND before the first set, with *out_value set to NULL
 */
SYNCLINE_API
enum syncline_status syncline_register_get(const struct syncline_register *reg,
                                           struct syncline_value **out_value);

/**
 * Sets the value.
 *
 * @param value  with codec BYTES it must be BYTES
 * @return UNSUPPORTED for undefined and big integers; INVALID_ARGUMENT for what the codec cannot
 *         store
 */
SYNCLINE_API
enum syncline_status syncline_register_set(struct syncline_register *reg,
                                           const struct syncline_value *value);

/**
 * The values that lost against the one it has, written without knowledge of it and of each other:
 * value = {"value", "peer", "clock"}, newest first. What was pruned is not found, and while the
 * open transaction has set the register there are none.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_register_iterate_conflicts(const struct syncline_register *reg,
                                                         struct syncline_iterator **out_iterator);

/* ---- Custom handlers ---- */

/**
 * Registers a type of the application's own for syncline_document_get_custom, and for handlers
 * that changes and references name. Registering a name again changes what is made from then on.
 *
 * @param type  apply, load and save must be set
 * @return INVALID_ARGUMENT for an empty name or one of Dart's
 */
SYNCLINE_API
enum syncline_status syncline_document_register_custom_type(struct syncline_document *document,
                                                            const struct syncline_custom_type *type);

/**
 * The custom handler with this id, made if it is not there.
 *
 * @param type_name   as registered with syncline_document_register_custom_type
 * @param out_custom  free it with syncline_custom_free
 * @return INVALID_ARGUMENT if the type is not registered; TYPE_MISMATCH if the id is in use with
 *         another type
 */
SYNCLINE_API
enum syncline_status syncline_document_get_custom(struct syncline_document *document,
                                                  syncline_string id,
                                                  syncline_string type_name,
                                                  struct syncline_custom **out_custom);

/**
 * Gives a handle back.
 *
 * @param custom  NULL is allowed
 */
SYNCLINE_API void syncline_custom_free(struct syncline_custom *custom);

/**
 * One more handle to the same custom handler.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_custom *syncline_custom_retain(struct syncline_custom *custom);

/**
 * The same custom handler as a handler.
 *
 * @param out_handler  free it with syncline_handler_free
 */
SYNCLINE_API
enum syncline_status syncline_custom_as_handler(struct syncline_custom *custom,
                                                struct syncline_handler **out_handler);

/**
 * Asks for CHANGE events (key "" with what the save hook wrote before and after) and CLOSED of
 * this custom handler. While anybody listens, the save hook runs for every change.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_custom_subscribe(struct syncline_custom *custom,
                                               const struct syncline_listener *listener,
                                               struct syncline_subscription **out_subscription);

/**
 * Makes an operation: it becomes a change, and the apply hook folds it in before this returns.
 * If the hook refuses it, it is a change all the same, which every peer skips as this one does.
 *
 * @param operation_kind  any number; the hooks know what it means
 * @param body            any bytes
 */
SYNCLINE_API
enum syncline_status syncline_custom_submit(struct syncline_custom *custom,
                                            uint8_t operation_kind,
                                            struct syncline_bytes body);

/**
 * Lends the state, with the open transaction, to `reader`. It stays put while the reader runs,
 * under the document's lock: calls into the same document give IN_HOOK.
 *
 * @param reader     gets the state; returns normally, never by longjmp
 * @param user_data  given to it
 * @return CALLBACK if the load hook could not make a state
 */
SYNCLINE_API
enum syncline_status syncline_custom_read(const struct syncline_custom *custom,
                                          syncline_custom_read_fn reader,
                                          void *user_data);

/* ---- History and differences ---- */

/**
 * A history of a document as it is now (Dart's toTimeTravel); the cursor stands at the end. Later
 * edits of the document are not part of it, nor is an open transaction, and the document may go.
 * Copies the document and sorts its changes.
 *
 * @param out_history  free it with syncline_history_free
 */
SYNCLINE_API
enum syncline_status syncline_history_new(struct syncline_document *document,
                                          struct syncline_history **out_history);

/**
 * Gives a handle back. Its view stays readable, where it stands.
 *
 * @param history  NULL is allowed
 */
SYNCLINE_API void syncline_history_free(struct syncline_history *history);

/**
 * How many changes there are. 0 when the view is closed.
 */
SYNCLINE_API uint64_t syncline_history_length(const struct syncline_history *history);

/**
 * How many of them the view shows. 0 when it is closed.
 */
SYNCLINE_API uint64_t syncline_history_cursor(const struct syncline_history *history);

/**
 * Whether there are changes behind the cursor.
 */
SYNCLINE_API bool syncline_history_can_next(const struct syncline_history *history);

/**
 * Whether there are changes before the cursor.
 */
SYNCLINE_API bool syncline_history_can_previous(const struct syncline_history *history);

/**
 * One change on.
 *
 * @return UNCHANGED at the end
 */
SYNCLINE_API enum syncline_status syncline_history_next(struct syncline_history *history);

/**
 * One change back. Step after step costs little; a single step from afar as much as folding the
 * changes from the nearest checkpoint.
 *
 * @return UNCHANGED at the beginning
 */
SYNCLINE_API enum syncline_status syncline_history_previous(struct syncline_history *history);

/**
 * Shows the first changes.
 *
 * @param cursor  how many
 * @return UNCHANGED if it stands there; OUT_OF_RANGE if there are not so many
 */
SYNCLINE_API
enum syncline_status syncline_history_jump(struct syncline_history *history,
                                           uint64_t cursor);

/**
 * Shows the changes made up to a time, by the clocks of their writers.
 *
 * @param time_ms  in milliseconds since 1970
 * @return UNCHANGED if the cursor stands there
 */
SYNCLINE_API
enum syncline_status syncline_history_jump_to_time(struct syncline_history *history,
                                                   int64_t time_ms);

/**
 * A change by its place.
 *
 * @param index       0 is the oldest one; it is shown while the cursor is above index
 * @param out_change  free it with syncline_change_free
 * @return OUT_OF_RANGE
 */
SYNCLINE_API
enum syncline_status syncline_history_change(const struct syncline_history *history,
                                             uint64_t index,
                                             struct syncline_change **out_change);

/**
 * The document that follows the cursor: always the same one, with the ids and handlers of the
 * document the history was made of. It can be read and subscribed to (CHANGE with origin
 * HISTORY); whatever would change it gives READ_ONLY.
 *
 * @param out_view  free it with syncline_document_free
 */
SYNCLINE_API
enum syncline_status syncline_history_document(struct syncline_history *history,
                                               struct syncline_document **out_view);

/**
 * A document of its own with what the view shows: its changes, snapshot and handlers.
 *
 * @param options       as syncline_document_new; the peer_id must not be that of a writer who goes
 *                      on elsewhere
 * @param out_document  free it with syncline_document_free
 */
SYNCLINE_API
enum syncline_status syncline_history_fork(const struct syncline_history *history,
                                           const struct syncline_document_options *options,
                                           struct syncline_document **out_document);

/**
 * Asks for HISTORY events (the cursor moved), CHANGE events of the whole view, and CLOSED, which
 * comes with the last syncline_history_free at the latest. HISTORY comes before the CHANGE of the
 * same move.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_history_subscribe(struct syncline_history *history,
                                                const struct syncline_listener *listener,
                                                struct syncline_subscription **out_subscription);

/**
 * What a HISTORY event says.
 *
 * @param event     a HISTORY event
 * @param out_info  struct_size must be set
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_history(const struct syncline_event *event,
                                            struct syncline_history_info *out_info);

/**
 * What differs between two versions of a document, as an event like those of its commits: the
 * deltas of its targets lead from what the handlers show at `from` to what they show at `to`.
 * Handlers without a difference are no targets. What both versions have stays where it is,
 * element by element; contents are not compared. Folds the changes of both versions anew.
 *
 * @param from       NULL: the empty version
 * @param to         NULL: the present one
 * @param out_event  a CHANGE event with origin HISTORY, of no queue: syncline_event_change,
 *                   syncline_event_to_json; free it with syncline_event_free
 * @return OUT_OF_SYNC if a version lacks what only the snapshot of the document has
 */
SYNCLINE_API
enum syncline_status syncline_document_diff(const struct syncline_document *document,
                                            const struct syncline_version_vector *from,
                                            const struct syncline_version_vector *to,
                                            struct syncline_event **out_event);

/* ---- Undo and redo ---- */

/**
 * Begins to note edits. Without scopes and tags it notes all edits of the document made from here
 * on in this process; imports, and what others undo, are not its business.
 *
 * With `persistent`, the stacks are written to the store in the transaction that stores the edits,
 * so that a crash never leaves them ahead of the content, and steps are restored here that an
 * earlier manager kept. Steps name what they are about by its ids: the user's own earlier steps
 * can be undone although a document goes on under a new peer id after a crash. Steps on plain
 * texts and lists are restored only if nothing changed since. Damaged stacks are left out, with a
 * warning in the log; so are those above 16 MiB.
 *
 * @param options   NULL: the defaults
 * @param out_undo  free it with syncline_undo_free
 * @return READ_ONLY for the view of a history or (if persistent) a store that is; UNSUPPORTED if
 *         persistent and the document is in no store; ALREADY_EXISTS if it has a persistent one
 */
SYNCLINE_API
enum syncline_status syncline_undo_new(struct syncline_document *document,
                                       const struct syncline_undo_options *options,
                                       struct syncline_undo **out_undo);

/**
 * Gives a handle back. With the last one the manager stops to note edits; its steps are forgotten,
 * unless it is persistent. Subscriptions get CLOSED.
 *
 * @param undo  NULL is allowed
 */
SYNCLINE_API void syncline_undo_free(struct syncline_undo *undo);

/**
 * Notes the edits of this handler; those of handlers that were never named are not noted any more.
 *
 * @param id  of a handler, present or not
 */
SYNCLINE_API
enum syncline_status syncline_undo_add_scope(struct syncline_undo *undo,
                                             syncline_string id);

/**
 * Notes transactions with this tag; those with tags that were never named are not noted any more.
 *
 * @param tag  as given to syncline_document_begin; the empty one means edits without a tag
 */
SYNCLINE_API
enum syncline_status syncline_undo_add_tag(struct syncline_undo *undo,
                                           struct syncline_bytes tag);

/**
 * Takes syncline_undo_add_tag back. When no tag is left, all transactions are noted.
 *
 * @return NOT_FOUND
 */
SYNCLINE_API
enum syncline_status syncline_undo_remove_tag(struct syncline_undo *undo,
                                              struct syncline_bytes tag);

/**
 * Whether there is a step to undo. It may turn out that others left nothing of it.
 */
SYNCLINE_API bool syncline_undo_can_undo(const struct syncline_undo *undo);

/**
 * Whether there is a step to redo.
 */
SYNCLINE_API bool syncline_undo_can_redo(const struct syncline_undo *undo);

/**
 * Steps that can be undone. 0 when the document is closed.
 */
SYNCLINE_API uint64_t syncline_undo_undo_count(const struct syncline_undo *undo);

/**
 * Steps that can be redone. 0 when the document is closed.
 */
SYNCLINE_API uint64_t syncline_undo_redo_count(const struct syncline_undo *undo);

/**
 * Takes the last step back, by ordinary edits in one transaction: CHANGE has origin UNDO. What
 * others did meanwhile stays. Steps of which nothing is left are passed over.
 *
 * @return UNCHANGED if there is nothing to undo; IN_TRANSACTION
 */
SYNCLINE_API enum syncline_status syncline_undo_undo(struct syncline_undo *undo);

/**
 * Makes the step again that was undone last; CHANGE has origin REDO.
 *
 * @return as syncline_undo_undo
 */
SYNCLINE_API enum syncline_status syncline_undo_redo(struct syncline_undo *undo);

/**
 * The next edit begins a new step.
 */
SYNCLINE_API enum syncline_status syncline_undo_stop_capturing(struct syncline_undo *undo);

/**
 * Forgets all steps. No event tells of it.
 */
SYNCLINE_API enum syncline_status syncline_undo_clear(struct syncline_undo *undo);

/**
 * Attaches a value to a step, such as the selection before the edit, as stable positions
 * (syncline_text_position_at). It stays with the step on its way between the stacks and comes back
 * in the UNDO events.
 *
 * @param step  from an UNDO event
 * @param meta  BYTES, or what JSON has; NULL: nothing
 * @return NOT_FOUND if there is no such step (any more)
 */
SYNCLINE_API
enum syncline_status syncline_undo_set_meta(struct syncline_undo *undo,
                                            uint64_t step,
                                            const struct syncline_value *meta);

/**
 * What is attached to a step on one of the stacks.
 *
 * @param out_meta  free it with syncline_value_free
 * @return NOT_FOUND, with *out_meta set to NULL
 */
SYNCLINE_API
enum syncline_status syncline_undo_get_meta(const struct syncline_undo *undo,
                                            uint64_t step,
                                            struct syncline_value **out_meta);

/**
 * Asks for UNDO events (a step was pushed or popped) and CLOSED. An undo pops a step from one
 * stack and pushes its inverse, with a new number and the same meta, to the other.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_undo_subscribe(struct syncline_undo *undo,
                                             const struct syncline_listener *listener,
                                             struct syncline_subscription **out_subscription);

/**
 * What an UNDO event says.
 *
 * @param event     an UNDO event
 * @param out_info  struct_size must be set; what it points to belongs to the event
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_undo(const struct syncline_event *event,
                                         struct syncline_undo_info *out_info);

/* ---- Stores ---- */

/**
 * Opens or makes a store in a file of its own (SQLite).
 *
 * @param path       of the file; its folder must exist
 * @param options    NULL: the defaults
 * @param out_store  free it with syncline_store_free
 * @return BUSY if another program has it open; READ_ONLY; CORRUPT; UNSUPPORTED_VERSION; IO;
 *         UNSUPPORTED in a build without SQLite
 */
SYNCLINE_API
enum syncline_status syncline_store_open(syncline_string path,
                                         const struct syncline_store_options *options,
                                         struct syncline_store **out_store);

/**
 * Makes a store that lives as long as the program: for servers and tests.
 *
 * @param out_store  free it with syncline_store_free
 */
SYNCLINE_API enum syncline_status syncline_store_new_memory(struct syncline_store **out_store);

/**
 * Stores what is not stored yet and ends the store: later calls give CLOSED. Documents that are
 * still open go on living, but are not stored any more; free them before.
 *
 * @param timeout_ms  how long to wait for the device
 * @return TIMEOUT: it is closed, but not everything was stored
 */
SYNCLINE_API
enum syncline_status syncline_store_close(struct syncline_store *store,
                                          uint32_t timeout_ms);

/**
 * Gives a handle back. Documents keep their store alive; it closes with the last of them, after
 * everything was stored (for up to five seconds).
 *
 * @param store  NULL is allowed
 */
SYNCLINE_API void syncline_store_free(struct syncline_store *store);

/**
 * One more handle to the same store.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_store *syncline_store_retain(struct syncline_store *store);

/**
 * Loads a document, or makes it, and keeps it stored. A document that is open already is opened
 * once more: edits show in both. Handlers are made when they are asked for, or all at once by
 * syncline_document_reconstruct.
 *
 * @param options       document_id is the name in the store, "" = random UUID; leave peer_id
 *                      NULL, then the document goes on under the peer id it had
 * @param out_document  free it with syncline_document_free
 * @return CORRUPT; UNSUPPORTED_VERSION; IO; CLOSED
 */
SYNCLINE_API
enum syncline_status syncline_store_open_document(struct syncline_store *store,
                                                  const struct syncline_document_options *options,
                                                  struct syncline_document **out_document);

/**
 * Whether a document of this name is stored. A new one may not be before its first edit. False
 * when the store is closed.
 */
SYNCLINE_API bool syncline_store_contains(const struct syncline_store *store, syncline_string name);

/**
 * How many documents are stored. 0 when the store is closed.
 */
SYNCLINE_API uint64_t syncline_store_length(const struct syncline_store *store);

/**
 * The stored documents: key = name, value = {"kind", "bytes", "changed_ms"}.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_store_iterate(const struct syncline_store *store,
                                            struct syncline_iterator **out_iterator);

/**
 * Drops a stored document.
 *
 * @return NOT_FOUND; BUSY while it is open
 */
SYNCLINE_API
enum syncline_status syncline_store_remove(struct syncline_store *store,
                                           syncline_string name);

/**
 * Waits until everything committed so far is on the device.
 *
 * @return TIMEOUT; IO and others if a write failed meanwhile (it is tried again)
 */
SYNCLINE_API
enum syncline_status syncline_store_flush(struct syncline_store *store,
                                          uint32_t timeout_ms);

/**
 * Rewrites the log of a document as few large records, in the background; a STORE event tells.
 *
 * @param name  "" = all documents
 * @return NOT_FOUND
 */
SYNCLINE_API
enum syncline_status syncline_store_compact(struct syncline_store *store,
                                            syncline_string name);

/**
 * Asks for STORE and CLOSED events. The subscription does not keep the store open.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_store_subscribe(struct syncline_store *store,
                                              const struct syncline_listener *listener,
                                              struct syncline_subscription **out_subscription);

/**
 * What a STORE event says.
 *
 * @param event     a STORE event
 * @param out_info  struct_size must be set; what it points to belongs to the event
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_store(const struct syncline_event *event,
                                          struct syncline_store_info *out_info);

/**
 * Reads and decodes everything that is stored; what is damaged is told in the log, one line each.
 *
 * @param repair        1: damaged documents are replaced by what can be read of them. Those that
 *                      are open are only looked at, and so are logs of relays.
 * @param out_problems  how many things are damaged and lost; what the generation before still has,
 *                      or a repair kept, is not lost
 * @return IO and others if the device does not work; READ_ONLY
 */
SYNCLINE_API
enum syncline_status syncline_store_check(struct syncline_store *store,
                                          bool repair,
                                          uint64_t *out_problems);

/**
 * Stores what is not stored yet (for up to five seconds) and lets go of the file and its locks,
 * before the app sleeps. Nothing runs until syncline_store_resume. Documents can be edited
 * meanwhile; what is edited is stored afterwards. Calls that need the file give BUSY.
 *
 * @return TIMEOUT: suspended, but not everything was stored; IO and others of the last write
 */
SYNCLINE_API enum syncline_status syncline_store_suspend(struct syncline_store *store);

/**
 * Takes the file up again, and takes in what other processes wrote to documents that are open
 * here. Harmless for a store that is not suspended.
 *
 * @return BUSY: another program has it open without sharing it; it is still suspended. CLOSED: an
 *         open document was restored or reset by somebody else; open it anew.
 */
SYNCLINE_API enum syncline_status syncline_store_resume(struct syncline_store *store);

/**
 * A document as bytes of its own: its content with history, without undo steps.
 *
 * @param out_bytes  free it with syncline_buffer_free
 * @return NOT_FOUND, with out_bytes unchanged
 */
SYNCLINE_API
enum syncline_status syncline_store_export(struct syncline_store *store,
                                           syncline_string name,
                                           struct syncline_buffer *out_bytes);

/**
 * Makes a document of what syncline_store_export gave, under its name.
 *
 * @param out_name  free it with syncline_buffer_free
 * @return ALREADY_EXISTS: there is one of this name, which stays as it is; CORRUPT;
 *         UNSUPPORTED_VERSION
 */
SYNCLINE_API
enum syncline_status syncline_store_import(struct syncline_store *store,
                                           struct syncline_bytes bytes,
                                           struct syncline_buffer *out_name);

/**
 * Keeps something small beside the documents: a setting of the app. It is on the device when this
 * returns.
 *
 * @param key    any text of at most 1,024 bytes
 * @param value  bytes, or anything that JSON has; NULL: forget it
 * @return UNSUPPORTED for bytes inside of other values, undefined, big integers and numbers that
 *         are none
 */
SYNCLINE_API
enum syncline_status syncline_store_set_value(struct syncline_store *store,
                                              syncline_string key,
                                              const struct syncline_value *value);

/**
 * What syncline_store_set_value kept.
 *
 * @param out_value  free it with syncline_value_free
 * @return NOT_FOUND, with *out_value set to NULL
 */
SYNCLINE_API
enum syncline_status syncline_store_get_value(const struct syncline_store *store,
                                              syncline_string key,
                                              struct syncline_value **out_value);

/* ---- Clients ---- */

/**
 * What a STATUS event says.
 *
 * @param event     a STATUS event
 * @param out_info  struct_size must be set; what it points to belongs to the event
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_status(const struct syncline_event *event,
                                           struct syncline_client_status_info *out_info);

/**
 * What a PROGRESS event says.
 *
 * @param event         a PROGRESS event
 * @param out_progress  struct_size must be set
 * @param out_id        the document, borrowed from the event; NULL is allowed
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_progress(const struct syncline_event *event,
                                             struct syncline_client_progress *out_progress,
                                             syncline_string *out_id);

/**
 * Makes a client. It does nothing before a document is attached and connect is called.
 *
 * @param options     the url is needed
 * @param out_client  free it with syncline_client_free
 * @return INVALID_ARGUMENT for a bad url; UNSUPPORTED for options of later versions
 */
SYNCLINE_API
enum syncline_status syncline_client_new(const struct syncline_client_options *options,
                                         struct syncline_client **out_client);

/**
 * Gives a handle back. With the last one the client disconnects and its thread ends.
 *
 * @param client  NULL is allowed
 */
SYNCLINE_API void syncline_client_free(struct syncline_client *client);

/**
 * One more handle to the same client.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_client *syncline_client_retain(struct syncline_client *client);

/**
 * Gives the client its document; the room on the server has the document's id. The client keeps
 * the document alive.
 *
 * @return ALREADY_EXISTS: this protocol has one document per connection
 */
SYNCLINE_API
enum syncline_status syncline_client_attach_document(struct syncline_client *client,
                                                     struct syncline_document *document);

/**
 * Ends the connection and gives the document back.
 *
 * @param id  of the attached document
 * @return NOT_FOUND if it is not attached
 */
SYNCLINE_API
enum syncline_status syncline_client_detach(struct syncline_client *client,
                                            syncline_string id);

/**
 * Starts connecting and returns at once. STATUS events and syncline_client_wait_connected tell
 * how it goes.
 *
 * @return INVALID_ARGUMENT if no document is attached
 */
SYNCLINE_API enum syncline_status syncline_client_connect(struct syncline_client *client);

/**
 * Ends the connection and all attempts. The document stays usable.
 */
SYNCLINE_API enum syncline_status syncline_client_disconnect(struct syncline_client *client);

/**
 * Connects now, without waiting for the delay; connects if disconnected.
 */
SYNCLINE_API enum syncline_status syncline_client_reconnect(struct syncline_client *client);

/**
 * Closes the connection until syncline_client_resume: the app goes to the background.
 *
 * @param timeout_ms  how long to wait for a clean end
 * @return TIMEOUT
 */
SYNCLINE_API
enum syncline_status syncline_client_suspend(struct syncline_client *client,
                                             uint32_t timeout_ms);

/**
 * Connects again if syncline_client_suspend disconnected.
 */
SYNCLINE_API enum syncline_status syncline_client_resume(struct syncline_client *client);

/**
 * What the connection does. DISCONNECTED for NULL.
 */
SYNCLINE_API
enum syncline_connection_status syncline_client_status(const struct syncline_client *client);

/**
 * The name the server gave the session.
 *
 * @param out_session_id  free it with syncline_buffer_free
 * @return NOT_FOUND, with out_session_id unchanged, before the first handshake
 */
SYNCLINE_API
enum syncline_status syncline_client_session_id(const struct syncline_client *client,
                                                struct syncline_buffer *out_session_id);

/**
 * How far the changes are.
 *
 * @param id            of the document; "" = all
 * @param out_progress  struct_size must be set
 * @return NOT_FOUND if it is not attached
 */
SYNCLINE_API
enum syncline_status syncline_client_get_progress(const struct syncline_client *client,
                                                  syncline_string id,
                                                  struct syncline_client_progress *out_progress);

/**
 * What the server has for sure: the bytes of a version vector.
 *
 * @param id           of the document
 * @param out_version  for syncline_version_vector_decode; free it with syncline_buffer_free
 * @return NOT_FOUND if it is not attached
 */
SYNCLINE_API
enum syncline_status syncline_client_acknowledged_version(const struct syncline_client *client,
                                                          syncline_string id,
                                                          struct syncline_buffer *out_version);

/**
 * Waits until the handshake is done.
 *
 * @return TIMEOUT; OFFLINE if the client is disconnected or gave up
 */
SYNCLINE_API
enum syncline_status syncline_client_wait_connected(struct syncline_client *client,
                                                    uint32_t timeout_ms);

/**
 * Waits until document and server were equal once since connecting.
 *
 * @param id  of the document; "" = all
 * @return TIMEOUT; OFFLINE; NOT_FOUND
 */
SYNCLINE_API
enum syncline_status syncline_client_wait_synced(struct syncline_client *client,
                                                 syncline_string id,
                                                 uint32_t timeout_ms);

/**
 * Waits until the server has everything made so far: the call for a background task. Waits
 * through reconnects.
 *
 * @param id  of the document; "" = all
 * @return TIMEOUT; OFFLINE; NOT_FOUND
 */
SYNCLINE_API
enum syncline_status syncline_client_wait_acknowledged(struct syncline_client *client,
                                                       syncline_string id,
                                                       uint32_t timeout_ms);

/**
 * Asks the server for everything the document lacks. Never needed on a sound connection.
 *
 * @param id  of the document; "" = all
 * @return NOT_FOUND if it is not attached
 */
SYNCLINE_API
enum syncline_status syncline_client_request_sync(struct syncline_client *client,
                                                  syncline_string id);

/**
 * Asks for STATUS, PROGRESS and CLOSED events. The subscription does not keep the client alive.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_client_subscribe(struct syncline_client *client,
                                               const struct syncline_listener *listener,
                                               struct syncline_subscription **out_subscription);

/**
 * The state of a client as a JSON object, for logs.
 *
 * @param out_statistics  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_client_to_json(const struct syncline_client *client,
                                             struct syncline_buffer *out_statistics);

/* ---- Servers ---- */

/**
 * What a SERVER event says.
 *
 * @param event     a SERVER event
 * @param out_info  struct_size must be set; what it points to belongs to the event
 * @return TYPE_MISMATCH for other events
 */
SYNCLINE_API
enum syncline_status syncline_event_server(const struct syncline_event *event,
                                           struct syncline_server_info *out_info);

/**
 * Makes a server; it does not listen yet.
 *
 * @param options     NULL: the defaults
 * @param out_server  free it with syncline_server_free
 * @return UNSUPPORTED for options of later versions
 */
SYNCLINE_API
enum syncline_status syncline_server_new(const struct syncline_server_options *options,
                                         struct syncline_server **out_server);

/**
 * Gives a handle back. With the last one the server stops: clients get a goodbye, everything is
 * stored.
 *
 * @param server  NULL is allowed
 */
SYNCLINE_API void syncline_server_free(struct syncline_server *server);

/**
 * One more handle to the same server.
 *
 * @return NULL for NULL
 */
SYNCLINE_API struct syncline_server *syncline_server_retain(struct syncline_server *server);

/**
 * Starts serving; listening when it returns OK.
 *
 * @return ALREADY_EXISTS if it runs; READ_ONLY for a read-only store; IO if the address cannot be
 *         used
 */
SYNCLINE_API enum syncline_status syncline_server_start(struct syncline_server *server);

/**
 * Stops serving: no new clients, everything is stored, goodbye to the clients. Can be started
 * again.
 *
 * @param drain_ms  how long that may take
 * @return UNCHANGED if it does not run; TIMEOUT or a store error: it is stopped, but not
 *         everything was stored
 */
SYNCLINE_API
enum syncline_status syncline_server_stop(struct syncline_server *server,
                                          uint32_t drain_ms);

/**
 * Whether it listens.
 */
SYNCLINE_API bool syncline_server_is_running(const struct syncline_server *server);

/**
 * Waits until somebody stopped it.
 *
 * @return TIMEOUT
 */
SYNCLINE_API
enum syncline_status syncline_server_wait_stopped(struct syncline_server *server,
                                                  uint32_t timeout_ms);

/**
 * The port it listens on; 0 while it does not run.
 */
SYNCLINE_API uint16_t syncline_server_port(const struct syncline_server *server);

/**
 * The address it listens on, or the name it was given while it does not run.
 *
 * @param out_host  free it with syncline_buffer_free
 */
SYNCLINE_API
enum syncline_status syncline_server_host(const struct syncline_server *server,
                                          struct syncline_buffer *out_host);

/**
 * Asks for SERVER and CLOSED events. The subscription does not keep the server alive.
 *
 * @param listener          who is told
 * @param out_subscription  free it with syncline_subscription_free to end it
 */
SYNCLINE_API
enum syncline_status syncline_server_subscribe(struct syncline_server *server,
                                               const struct syncline_listener *listener,
                                               struct syncline_subscription **out_subscription);

/**
 * The connected clients: key = client id, value = {"address", "unsent_bytes"}.
 *
 * @param room          "" = all
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_server_iterate_clients(const struct syncline_server *server,
                                                     syncline_string room,
                                                     struct syncline_iterator **out_iterator);

/**
 * The rooms in memory: key = room, value = {"clients"}.
 *
 * @param out_iterator  free it with syncline_iterator_free
 */
SYNCLINE_API
enum syncline_status syncline_server_iterate_rooms(const struct syncline_server *server,
                                                   struct syncline_iterator **out_iterator);

/**
 * Ends a client's connection after what waits for it was sent.
 *
 * @param code    WebSocket close code: 1000, 1001, 1008, 1011, 1013, or 3000 to 4999
 * @param reason  up to 123 bytes
 * @return NOT_FOUND
 */
SYNCLINE_API
enum syncline_status syncline_server_disconnect_client(struct syncline_server *server,
                                                       syncline_string client_id,
                                                       uint16_t code,
                                                       syncline_string reason);

/**
 * Makes the document of a room if it is not there.
 *
 * @param protocol  0 or CRDT_SYNC
 * @return UNCHANGED if it is there; UNSUPPORTED for other protocols
 */
SYNCLINE_API
enum syncline_status syncline_server_add_room(struct syncline_server *server,
                                              syncline_string room,
                                              syncline_protocol protocol);

/**
 * Drops the document of a room.
 *
 * @return NOT_FOUND; BUSY while clients or the application use it
 */
SYNCLINE_API
enum syncline_status syncline_server_remove_room(struct syncline_server *server,
                                                 syncline_string room);

/**
 * Whether a room is in memory or stored.
 */
SYNCLINE_API
bool syncline_server_has_room(const struct syncline_server *server,
                              syncline_string room);

/**
 * How many rooms are in memory.
 */
SYNCLINE_API uint64_t syncline_server_room_count(const struct syncline_server *server);

/**
 * The live document of a room, made if it is not there: edits are stored and sent to its clients.
 * Its text unit is UTF-16.
 *
 * @param out_document  free it with syncline_document_free; it keeps the room loaded
 */
SYNCLINE_API
enum syncline_status syncline_server_get_document(struct syncline_server *server,
                                                  syncline_string room,
                                                  struct syncline_document **out_document);

/**
 * Takes a snapshot of a room's document and prunes its history.
 *
 * @return NOT_FOUND if the room is not in memory or the document refuses
 */
SYNCLINE_API
enum syncline_status syncline_server_take_snapshot(struct syncline_server *server,
                                                   syncline_string room);

/**
 * Numbers since the start; all zero while it does not run.
 *
 * @param out_stats  struct_size must be set
 */
SYNCLINE_API
enum syncline_status syncline_server_get_stats(const struct syncline_server *server,
                                               struct syncline_server_stats *out_stats);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SYNCLINE_H */
