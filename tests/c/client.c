#include "check.h"

static syncline_server *server;
static char url[64];

static syncline_document *room(const char *name) {
  syncline_document *document = NULL;
  OK(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .document_id = S(name)), &document));
  return document;
}

static void start_server(uint16_t port) {
  OK(syncline_server_new(SYNCLINE_OPTIONS(syncline_server_options, .port = port), &server));
  OK(syncline_server_start(server));
  snprintf(url, sizeof url, "ws://127.0.0.1:%d/", syncline_server_port(server));
}

static syncline_client *new_client(syncline_compression compression) {
  syncline_client *client = NULL;
  OK(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = S(url), .protocol = SYNCLINE_PROTOCOL_CRDT_SYNC,
                                          .compression = compression, .reconnect_delay_ms_min = 10,
                                          .reconnect_delay_ms_max = 50),
                         &client));
  return client;
}

static void wait_for_status(syncline_queue *queue, syncline_connection_status wanted) {
  for (;;) {
    syncline_event *event = NULL;
    OK(syncline_queue_wait(queue, PATIENCE_MS, &event));
    bool found = false;
    if (syncline_event_get_type(event) == SYNCLINE_EVENT_STATUS) {
      syncline_client_status_info info = {.struct_size = sizeof info};
      OK(syncline_event_status(event, &info));
      found = info.status == wanted;
      CHECK(info.error.message != NULL);
      if (wanted == SYNCLINE_CONNECTION_RECONNECTING && found && info.attempt > 0)
        CHECK(info.error.status < 0);
    }
    syncline_event_free(event);
    if (found) return;
  }
}

static void two_clients_meet(void) {
  syncline_document *a = room("meet"), *b = room("meet");
  syncline_text *ta = new_text(a, "t"), *tb = new_text(b, "t");
  syncline_client *alice = new_client(SYNCLINE_COMPRESSION_NONE), *bob = new_client(SYNCLINE_COMPRESSION_GZIP);
  syncline_client *again = syncline_client_retain(alice);
  CHECK(again == alice && syncline_client_status(alice) == SYNCLINE_CONNECTION_DISCONNECTED);
  INVALID(syncline_client_connect(alice)); /* nothing attached */
  syncline_buffer out = {0};
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_session_id(alice, &out));
  OK(syncline_client_attach_document(alice, a));
  EXPECT(SYNCLINE_ERROR_ALREADY_EXISTS, syncline_client_attach_document(alice, b));
  OK(syncline_client_attach_document(bob, b));
  EXPECT(SYNCLINE_ERROR_OFFLINE, syncline_client_wait_connected(alice, 10));

  OK(syncline_text_insert(ta, 0, S("offline edit")));
  syncline_client_progress progress = {.struct_size = sizeof progress};
  OK(syncline_client_get_progress(alice, S("meet"), &progress));
  CHECK(progress.pending_changes == 1 && !progress.synced && progress.unstored_changes == 0);
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_get_progress(alice, S("other"), &progress));

  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_client_subscribe(alice, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_client_connect(alice));
  OK(syncline_client_connect(bob));
  OK(syncline_client_wait_connected(alice, PATIENCE_MS));
  OK(syncline_client_wait_connected(bob, PATIENCE_MS));
  wait_for_status(queue, SYNCLINE_CONNECTION_CONNECTED);
  CHECK(syncline_client_status(alice) == SYNCLINE_CONNECTION_CONNECTED);
  OK(syncline_client_session_id(alice, &out));
  CHECK(out.len > 0);
  syncline_buffer_free(&out);
  OK(syncline_client_wait_acknowledged(alice, S("meet"), PATIENCE_MS));
  syncline_event *event = NULL;
  for (;;) { /* progress is told, too */
    OK(syncline_queue_wait(queue, PATIENCE_MS, &event));
    syncline_string id;
    bool found = syncline_event_get_type(event) == SYNCLINE_EVENT_PROGRESS;
    if (found) {
      OK(syncline_event_progress(event, &progress, &id));
      OK(syncline_event_progress(event, &progress, NULL));
      CHECK(same(id, "meet"));
      INVALID(syncline_event_progress(event, NULL, &id));
      syncline_client_status_info status = {.struct_size = sizeof status};
      EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_status(event, &status));
    }
    OK(syncline_event_to_json(event, &out));
    syncline_buffer_free(&out);
    syncline_event_free(event);
    if (found) break;
  }

  syncline_queue *changes = new_queue();
  syncline_subscription *of_text = NULL;
  OK(syncline_text_subscribe(tb, SYNCLINE_OPTIONS(syncline_listener, .queue = changes), &of_text));
  OK(syncline_text_insert(ta, 0, S("an ")));
  for (;;) {
    syncline_buffer text;
    OK(syncline_text_to_string(tb, &text));
    bool met = strcmp((char *)text.data, "an offline edit") == 0;
    syncline_buffer_free(&text);
    if (met) break;
    event = next_event(changes, SYNCLINE_EVENT_CHANGE);
    syncline_change_info info = {.struct_size = sizeof info};
    OK(syncline_event_change(event, &info));
    CHECK(info.origin == SYNCLINE_ORIGIN_REMOTE);
    syncline_event_free(event);
  }
  syncline_subscription_free(of_text);
  syncline_queue_free(changes);

  OK(syncline_client_acknowledged_version(alice, S(""), &out));
  syncline_version_vector *acknowledged = NULL;
  OK(syncline_version_vector_decode(syncline_buffer_bytes(&out), &acknowledged));
  CHECK(syncline_version_vector_length(acknowledged) >= 1);
  syncline_version_vector_free(acknowledged);
  syncline_buffer_free(&out);
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_acknowledged_version(alice, S("other"), &out));
  OK(syncline_client_request_sync(alice, S("meet")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_request_sync(alice, S("other")));
  OK(syncline_client_to_json(alice, &out));
  syncline_value *json = NULL;
  OK(syncline_value_from_json(syncline_buffer_string(&out), &json));
  CHECK(same(syncline_value_get(json, S("status"))->data.string, "connected"));
  syncline_value_free(json);
  syncline_buffer_free(&out);

  /* The application goes to the background and comes back. */
  OK(syncline_client_suspend(alice, PATIENCE_MS));
  CHECK(syncline_client_status(alice) == SYNCLINE_CONNECTION_SUSPENDED);
  OK(syncline_text_insert(ta, 0, S("1 ")));
  EXPECT(SYNCLINE_ERROR_OFFLINE, syncline_client_wait_acknowledged(alice, S(""), 10));
  OK(syncline_client_resume(alice));
  OK(syncline_client_wait_acknowledged(alice, S(""), PATIENCE_MS));
  OK(syncline_client_wait_synced(alice, S("meet"), PATIENCE_MS));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_wait_synced(alice, S("other"), 0));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_wait_acknowledged(alice, S("other"), 0));

  /* The server goes away and comes back on the same port. */
  uint16_t port = syncline_server_port(server);
  syncline_server_free(server);
  wait_for_status(queue, SYNCLINE_CONNECTION_RECONNECTING);
  OK(syncline_text_insert(ta, 0, S("0 ")));
  EXPECT(SYNCLINE_TIMEOUT, syncline_client_wait_acknowledged(alice, S(""), 5));
  start_server(port);
  OK(syncline_client_reconnect(alice));
  OK(syncline_client_wait_acknowledged(alice, S(""), PATIENCE_MS));

  /* A document that is locked is not in the way of freeing the client. */
  OK(syncline_client_disconnect(bob));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_detach(bob, S("other")));
  OK(syncline_client_detach(bob, S("meet")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_detach(bob, S("meet")));
  OK(syncline_client_attach_document(bob, b));
  syncline_client_free(bob);

  /* With the last handle it disconnects; CLOSED is the last event. */
  syncline_client_free(alice);
  CHECK(syncline_client_status(again) == SYNCLINE_CONNECTION_CONNECTED);
  syncline_client_free(again);
  bool closed = false;
  while (syncline_queue_poll(queue, &event) == SYNCLINE_OK) {
    CHECK(!closed);
    closed = syncline_event_get_type(event) == SYNCLINE_EVENT_CLOSED;
    syncline_event_free(event);
  }
  CHECK(closed && !syncline_subscription_is_active(subscription));
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
  OK(syncline_text_insert(ta, 0, S("alone ")));
  syncline_text_free(ta);
  syncline_text_free(tb);
  syncline_document_free(a);
  syncline_document_free(b);
}

static void stored_documents(void) {
  syncline_store *store = NULL;
  OK(syncline_store_new_memory(&store));
  syncline_document *document = NULL;
  OK(syncline_store_open_document(store, SYNCLINE_OPTIONS(syncline_document_options, .document_id = SYNCLINE_STR("stored")), &document));
  syncline_text *text = new_text(document, "t");
  syncline_client *client = new_client(SYNCLINE_COMPRESSION_NONE);
  OK(syncline_client_attach_document(client, document));
  OK(syncline_client_connect(client));
  for (int i = 0; i < 20; i++) OK(syncline_text_insert(text, 0, S("x")));
  OK(syncline_client_wait_acknowledged(client, S("stored"), PATIENCE_MS));
  OK(syncline_store_flush(store, PATIENCE_MS));
  syncline_client_progress progress = {.struct_size = sizeof progress};
  OK(syncline_client_get_progress(client, S(""), &progress));
  CHECK(progress.unstored_changes == 0 && progress.pending_changes == 0 && progress.synced);
  syncline_text_free(text);
  syncline_document_free(document);
  syncline_store_free(store);
  syncline_client_free(client); /* held the document, and so the store */
}

static void nobody_there(void) {
  syncline_client *client = NULL;
  syncline_document *document = room("nobody");
  OK(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = SYNCLINE_STR("ws://127.0.0.1:1/"), .no_reconnect = true), &client));
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_client_subscribe(client, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_client_attach_document(client, document));
  OK(syncline_client_connect(client));
  wait_for_status(queue, SYNCLINE_CONNECTION_ERROR);
  EXPECT(SYNCLINE_ERROR_OFFLINE, syncline_client_wait_connected(client, PATIENCE_MS));
  CHECK(syncline_client_status(client) == SYNCLINE_CONNECTION_ERROR);
  OK(syncline_client_disconnect(client));
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
  syncline_client_free(client);
  syncline_document_free(document);
}

static void bad_arguments(void) {
  syncline_document *document = new_document();
  syncline_client *none = NULL, *good = new_client(SYNCLINE_COMPRESSION_NONE);
  syncline_buffer out = {0};
  syncline_subscription *subscription = NULL;
  syncline_client_progress progress = {.struct_size = sizeof progress};
  syncline_client_status_info status = {.struct_size = sizeof status};
  syncline_value headers = plain_value(SYNCLINE_VALUE_OBJECT);
  INVALID(syncline_client_new(NULL, &none));
  INVALID(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = S(url)), NULL));
  INVALID(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = bad_utf8()), &none));
  INVALID(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = SYNCLINE_STR("not a url")), &none));
  INVALID(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = SYNCLINE_STR("http://127.0.0.1/")), &none));
  INVALID(syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = S(url), .reconnect_attempts_max = -2), &none));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_client_new(SYNCLINE_OPTIONS(syncline_client_options, .url = SYNCLINE_STR("wss://127.0.0.1/")), &none));
  const syncline_client_options unsupported[] = {
      {.protocol = SYNCLINE_PROTOCOL_YJS}, {.protocol = (syncline_protocol)99}, {.compression = SYNCLINE_COMPRESSION_CUSTOM},
      {.token = SYNCLINE_STR("t")}, {.headers = &headers}, {.compressor = document}, {.channel = document},
      {.tls_ca_pem = B("x", 1)}, {.end_to_end_key = B("x", 1)}, {.reconnect_jitter_ms = 1}, {.manual = true}};
  for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
    syncline_client_options options = unsupported[i];
    options.struct_size = sizeof options;
    options.url = S(url);
    EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_client_new(&options, &none));
  }
  syncline_client *bad[2] = {NULL, (syncline_client *)document};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_client_retain(bad[i]) == NULL);
    INVALID(syncline_client_attach_document(bad[i], document));
    INVALID(syncline_client_detach(bad[i], S("")));
    INVALID(syncline_client_connect(bad[i]));
    INVALID(syncline_client_disconnect(bad[i]));
    INVALID(syncline_client_reconnect(bad[i]));
    INVALID(syncline_client_suspend(bad[i], 0));
    INVALID(syncline_client_resume(bad[i]));
    CHECK(syncline_client_status(bad[i]) == SYNCLINE_CONNECTION_DISCONNECTED);
    INVALID(syncline_client_session_id(bad[i], &out));
    INVALID(syncline_client_get_progress(bad[i], S(""), &progress));
    INVALID(syncline_client_acknowledged_version(bad[i], S(""), &out));
    INVALID(syncline_client_wait_connected(bad[i], 0));
    INVALID(syncline_client_wait_synced(bad[i], S(""), 0));
    INVALID(syncline_client_wait_acknowledged(bad[i], S(""), 0));
    INVALID(syncline_client_request_sync(bad[i], S("")));
    INVALID(syncline_client_subscribe(bad[i], NULL, &subscription));
    INVALID(syncline_client_to_json(bad[i], &out));
    INVALID(syncline_event_status((syncline_event *)bad[i], &status));
    INVALID(syncline_event_progress((syncline_event *)bad[i], &progress, NULL));
    syncline_client_free(bad[i]);
  }
  INVALID(syncline_client_attach_document(good, NULL));
  INVALID(syncline_client_attach_document(good, (syncline_document *)good));
  INVALID(syncline_client_disconnect(good)); /* nothing attached */
  INVALID(syncline_client_suspend(good, 0));
  INVALID(syncline_client_resume(good));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_client_get_progress(good, S(""), &progress));
  OK(syncline_client_to_json(good, &out));
  syncline_buffer_free(&out);
  OK(syncline_document_close(document));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_client_attach_document(good, document));
  INVALID(syncline_client_detach(good, bad_utf8()));
  INVALID(syncline_client_session_id(good, NULL));
  INVALID(syncline_client_get_progress(good, S(""), NULL));
  INVALID(syncline_client_get_progress(good, bad_utf8(), &progress));
  INVALID(syncline_client_acknowledged_version(good, S(""), NULL));
  INVALID(syncline_client_wait_synced(good, bad_utf8(), 0));
  INVALID(syncline_client_wait_acknowledged(good, bad_length(), 0));
  INVALID(syncline_client_request_sync(good, bad_utf8()));
  INVALID(syncline_client_subscribe(good, NULL, &subscription));
  INVALID(syncline_client_to_json(good, NULL));
  CHECK(!none && !out.data && !subscription);
  syncline_client_free(good);
  syncline_document_free(document);
}

int main(void) {
  start_server(0);
  two_clients_meet();
  stored_documents();
  nobody_there();
  bad_arguments();
  syncline_server_free(server);
  return finish("client");
}
