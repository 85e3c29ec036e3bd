#include "check.h"

static uint16_t start(syncline_server *server) {
  OK(syncline_server_start(server));
  return syncline_server_port(server);
}

static syncline_client *join(uint16_t port, syncline_document *document) {
  char url[64];
  snprintf(url, sizeof url, "ws://127.0.0.1:%d/", port);
  syncline_client *client = NULL;
  OK(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = S(url)), &client));
  OK(syncline_client_attach_document(client, document));
  OK(syncline_client_connect(client));
  OK(syncline_client_wait_synced(client, S(""), PATIENCE_MS));
  return client;
}

static syncline_document *named(const char *name) {
  syncline_document *document = NULL;
  OK(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .document_id = S(name)), &document));
  return document;
}

static void *stop_it(void *server) {
  OK(syncline_server_stop((syncline_server *)server, PATIENCE_MS));
  return NULL;
}

static bool saw_kind(syncline_queue *queue, syncline_server_event_kind kind, const char *room) {
  for (;;) {
    syncline_event *event = next_event(queue, SYNCLINE_EVENT_SERVER);
    syncline_server_info info = {.struct_size = sizeof info};
    OK(syncline_event_server(event, &info));
    CHECK(info.error.message != NULL);
    bool found = info.kind == kind && (room == NULL || same(info.room, room));
    syncline_event_free(event);
    if (found) return true;
  }
}

static void serving(void) {
  syncline_server *server = NULL;
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_server_new(NULL, &server));
  syncline_server *again = syncline_server_retain(server);
  CHECK(again == server && !syncline_server_is_running(server) && syncline_server_port(server) == 0);
  OK(syncline_server_subscribe(server, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  EXPECT(SYNCLINE_UNCHANGED, syncline_server_stop(server, 0));
  OK(syncline_server_wait_stopped(server, 0));
  uint16_t port = start(server);
  CHECK(port > 0 && syncline_server_is_running(server));
  EXPECT(SYNCLINE_ERROR_ALREADY_EXISTS, syncline_server_start(server));
  EXPECT(SYNCLINE_TIMEOUT, syncline_server_wait_stopped(server, 1));
  CHECK(saw_kind(queue, SYNCLINE_SERVER_STARTED, NULL));
  syncline_buffer host = {0};
  OK(syncline_server_host(server, &host));
  CHECK(take_equals(&host, "127.0.0.1"));

  /* The port is taken. */
  syncline_server *second = NULL;
  OK(syncline_server_new(SYNCLINE_OPTIONS(syncline_server_options, .port = port), &second));
  EXPECT(SYNCLINE_ERROR_IO, syncline_server_start(second));
  CHECK(syncline_error_last()->domain == SYNCLINE_ERROR_DOMAIN_OS);
  syncline_server_free(second);

  syncline_document *document = named("room");
  syncline_client *client = join(port, document);
  CHECK(saw_kind(queue, SYNCLINE_SERVER_CLIENT_HANDSHAKE, "room"));
  CHECK(syncline_server_room_count(server) == 1 && syncline_server_has_room(server, S("room")));
  CHECK(!syncline_server_has_room(server, S("other")));

  /* The host edits the live document: the client gets it. */
  syncline_document *live = NULL;
  OK(syncline_server_get_document(server, S("room"), &live));
  syncline_text *here = new_text(live, "t"), *there = new_text(document, "t");
  syncline_queue *changes = new_queue();
  syncline_subscription *of_client = NULL;
  OK(syncline_text_subscribe(there, SYNCLINE_OPTIONS(syncline_listener, .queue = changes), &of_client));
  OK(syncline_text_insert(here, 0, S("from the host")));
  syncline_event_free(next_event(changes, SYNCLINE_EVENT_CHANGE));
  CHECK(text_is(there, "from the host"));
  OK(syncline_text_insert(there, 0, S("and back: ")));
  OK(syncline_client_wait_acknowledged(client, S("room"), PATIENCE_MS));
  CHECK(text_is(here, "and back: from the host"));
  CHECK(saw_kind(queue, SYNCLINE_SERVER_CLIENT_CHANGE_APPLIED, "room"));
  syncline_subscription_free(of_client);
  syncline_queue_free(changes);

  syncline_server_stats stats = {.struct_size = sizeof stats};
  OK(syncline_server_get_stats(server, &stats));
  CHECK(stats.connections == 1 && stats.connections_total >= 1 && stats.rooms_open == 1);
  CHECK(stats.changes_applied >= 1 && stats.bytes_in > 0 && stats.bytes_out > 0);
  CHECK(stats.messages_in > 0 && stats.messages_out > 0);

  syncline_iterator *it = NULL;
  OK(syncline_server_iterate_rooms(server, &it));
  OK(syncline_iterator_next(it));
  CHECK(same(syncline_iterator_key(it), "room"));
  CHECK(syncline_value_get(syncline_iterator_value(it), S("clients"))->data.integer == 1);
  syncline_iterator_free(it);
  OK(syncline_server_iterate_clients(server, S("nobody"), &it));
  CHECK(syncline_iterator_remaining(it) == 0);
  syncline_iterator_free(it);
  OK(syncline_server_iterate_clients(server, S("room"), &it));
  OK(syncline_iterator_next(it));
  syncline_buffer session = {0};
  OK(syncline_client_session_id(client, &session));
  CHECK(same(syncline_iterator_key(it), (char *)session.data));
  syncline_iterator_free(it);

  OK(syncline_server_take_snapshot(server, S("room")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_server_take_snapshot(server, S("other")));
  CHECK(saw_kind(queue, SYNCLINE_SERVER_SNAPSHOT_CREATED, "room"));

  INVALID(syncline_server_disconnect_client(server, syncline_buffer_string(&session), 1, S("")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_server_disconnect_client(server, S("nobody"), 1000, S("")));
  OK(syncline_server_disconnect_client(server, syncline_buffer_string(&session), 1008, S("go")));
  CHECK(saw_kind(queue, SYNCLINE_SERVER_CLIENT_DISCONNECTED, NULL));
  syncline_buffer_free(&session);

  OK(syncline_server_add_room(server, S("new"), SYNCLINE_PROTOCOL_CRDT_SYNC));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_server_add_room(server, S("y"), SYNCLINE_PROTOCOL_YJS));
  EXPECT(SYNCLINE_UNCHANGED, syncline_server_add_room(server, S("room"), 0));
  EXPECT(SYNCLINE_ERROR_BUSY, syncline_server_remove_room(server, S("room")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_server_remove_room(server, S("other")));

  syncline_client_free(client);
  syncline_text_free(here);
  syncline_text_free(there);
  syncline_document_free(live);
  syncline_document_free(document);

  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, stop_it, server) == 0);
  OK(syncline_server_wait_stopped(server, PATIENCE_MS));
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(!syncline_server_is_running(server) && syncline_server_port(server) == 0);
  OK(syncline_server_get_stats(server, &stats));
  CHECK(stats.connections == 0);
  CHECK(start(server) > 0); /* again */
  syncline_server_free(server);
  CHECK(syncline_server_is_running(again));
  syncline_server_free(again);

  /* CLOSED is the last event. */
  syncline_event *event = NULL;
  bool closed = false;
  while (syncline_queue_poll(queue, &event) == SYNCLINE_OK) {
    CHECK(!closed);
    closed = syncline_event_get_type(event) == SYNCLINE_EVENT_CLOSED;
    syncline_buffer json = {0};
    OK(syncline_event_to_json(event, &json));
    syncline_buffer_free(&json);
    syncline_event_free(event);
  }
  CHECK(closed && !syncline_subscription_is_active(subscription));
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
}

static void with_a_store(void) {
  syncline_store *store = NULL;
  OK(syncline_store_new_memory(&store));
  syncline_server *server = NULL;
  OK(syncline_server_new(SYNCLINE_OPTIONS(syncline_server_options, .store = store, .compression = SYNCLINE_COMPRESSION_GZIP, .worker_threads = 2, .connections_max = 10, .rooms_max = 10, .client_timeout_ms = 60000, .room_idle_ms = 60000, .message_bytes_max = 1000000, .outbound_bytes_max = 1000000, .protocols = 1u << SYNCLINE_PROTOCOL_CRDT_SYNC), &server));
  syncline_document *document = named("kept");
  syncline_text *text = new_text(document, "t");
  OK(syncline_text_insert(text, 0, S("kept")));
  syncline_client *client = join(start(server), document);
  OK(syncline_client_wait_acknowledged(client, S(""), PATIENCE_MS));
  syncline_client_free(client);
  OK(syncline_server_stop(server, PATIENCE_MS));
  syncline_server_free(server);
  CHECK(syncline_store_contains(store, S("kept")));
  syncline_text_free(text);
  syncline_document_free(document);
  document = NULL;
  OK(syncline_store_open_document(store, SYNCLINE_OPTIONS(syncline_document_options, .document_id = S("kept")), &document));
  text = new_text(document, "t");
  CHECK(text_is(text, "kept"));
  syncline_text_free(text);
  syncline_document_free(document);
  syncline_store_free(store);
}

static void bad_arguments(void) {
  syncline_server *none = NULL, *good = NULL;
  syncline_document *document = new_document(), *out = NULL;
  syncline_iterator *it = NULL;
  syncline_buffer buffer = {0};
  syncline_subscription *subscription = NULL;
  syncline_server_stats stats = {.struct_size = sizeof stats};
  syncline_server_info info = {.struct_size = sizeof info};
  INVALID(syncline_server_new(NULL, NULL));
  INVALID(syncline_server_new(SYNCLINE_OPTIONS(syncline_server_options, .host = bad_utf8()), &none));
  INVALID(syncline_server_new(SYNCLINE_OPTIONS(syncline_server_options, .store = (syncline_store *)document), &none));
  const syncline_server_options unsupported[] = {
      {.metrics_port = 1}, {.protocols = 1u << SYNCLINE_PROTOCOL_YJS}, {.hooks = document},
      {.authorize_by_request = true}, {.compression = SYNCLINE_COMPRESSION_CUSTOM}, {.compressor = document},
      {.tls_certificate_pem = B("x", 1)}, {.tls_key_pem = B("x", 1)}, {.compact_threshold = 1},
      {.rate_messages_per_s = 1}, {.document_bytes_max = 1}};
  for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
    syncline_server_options options = unsupported[i];
    options.struct_size = sizeof options;
    EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_server_new(&options, &none));
  }
  OK(syncline_server_new(SYNCLINE_OPTIONS(syncline_server_options, .host = SYNCLINE_STR("not a host")), &good));
  EXPECT(SYNCLINE_ERROR_IO, syncline_server_start(good));
  OK(syncline_server_host(good, &buffer));
  CHECK(take_equals(&buffer, "not a host"));
  syncline_server *bad[2] = {NULL, (syncline_server *)document};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_server_retain(bad[i]) == NULL);
    INVALID(syncline_server_start(bad[i]));
    INVALID(syncline_server_stop(bad[i], 0));
    CHECK(!syncline_server_is_running(bad[i]) && syncline_server_port(bad[i]) == 0);
    INVALID(syncline_server_wait_stopped(bad[i], 0));
    INVALID(syncline_server_host(bad[i], &buffer));
    INVALID(syncline_server_subscribe(bad[i], NULL, &subscription));
    INVALID(syncline_server_iterate_clients(bad[i], S(""), &it));
    INVALID(syncline_server_iterate_rooms(bad[i], &it));
    INVALID(syncline_server_disconnect_client(bad[i], S("x"), 1000, S("")));
    INVALID(syncline_server_add_room(bad[i], S("x"), 0));
    INVALID(syncline_server_remove_room(bad[i], S("x")));
    CHECK(!syncline_server_has_room(bad[i], S("x")) && syncline_server_room_count(bad[i]) == 0);
    INVALID(syncline_server_get_document(bad[i], S("x"), &out));
    INVALID(syncline_server_take_snapshot(bad[i], S("x")));
    INVALID(syncline_server_get_stats(bad[i], &stats));
    INVALID(syncline_event_server((syncline_event *)bad[i], &info));
    syncline_server_free(bad[i]);
  }
  INVALID(syncline_server_host(good, NULL));
  INVALID(syncline_server_subscribe(good, NULL, &subscription));
  INVALID(syncline_server_iterate_clients(good, bad_utf8(), &it));
  INVALID(syncline_server_iterate_clients(good, S(""), NULL));
  INVALID(syncline_server_iterate_rooms(good, NULL));
  INVALID(syncline_server_disconnect_client(good, bad_utf8(), 1000, S("")));
  INVALID(syncline_server_disconnect_client(good, S("x"), 1000, bad_length()));
  char reason[200];
  memset(reason, 'r', sizeof reason);
  INVALID(syncline_server_disconnect_client(good, S("x"), 1000, text_with_length(reason, sizeof reason)));
  INVALID(syncline_server_add_room(good, bad_utf8(), 0));
  INVALID(syncline_server_remove_room(good, bad_utf8()));
  CHECK(!syncline_server_has_room(good, bad_utf8()));
  INVALID(syncline_server_get_document(good, S("x"), NULL));
  INVALID(syncline_server_get_document(good, bad_utf8(), &out));
  INVALID(syncline_server_take_snapshot(good, bad_utf8()));
  INVALID(syncline_server_get_stats(good, NULL));
  CHECK(!none && !out && !it && !buffer.data && !subscription);
  syncline_server_free(good);
  syncline_document_free(document);
}

int main(void) {
  serving();
  with_a_store();
  bad_arguments();
  return finish("server");
}
