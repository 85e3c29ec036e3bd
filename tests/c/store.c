#include "check.h"

#include <unistd.h>

static syncline_store *open_file(const char *path) {
  syncline_store *store = NULL;
  OK(syncline_store_open(S(path), NULL, &store));
  return store;
}

static syncline_document *open_document(syncline_store *store, const char *name) {
  syncline_document *document = NULL;
  OK(syncline_store_open_document(store, SYNCLINE_OPTIONS(syncline_document_options, .document_id = S(name)), &document));
  return document;
}

static void a_file_keeps_documents(const char *path) {
  syncline_store *store = open_file(path), *again = syncline_store_retain(store);
  CHECK(again == store && syncline_store_length(store) == 0);
  syncline_document *document = open_document(store, "note");
  CHECK(same(syncline_document_id(document), "note"));
  syncline_peer_id peer = syncline_document_peer_id(document);
  syncline_text *text = new_text(document, "t");
  OK(syncline_text_insert(text, 0, S("kept")));
  OK(syncline_store_flush(store, PATIENCE_MS));
  CHECK(syncline_store_contains(store, S("note")) && !syncline_store_contains(store, S("other")));
  CHECK(syncline_store_length(store) == 1);

  /* Opened twice it is one document. */
  syncline_document *twin = open_document(store, "note");
  syncline_text *twin_text = new_text(twin, "t");
  CHECK(text_is(twin_text, "kept"));
  OK(syncline_text_insert(twin_text, 4, S("!")));
  CHECK(text_is(text, "kept!"));
  syncline_text_free(twin_text);
  syncline_document_free(twin);

  syncline_iterator *it = NULL;
  OK(syncline_store_iterate(store, &it));
  OK(syncline_iterator_next(it));
  CHECK(same(syncline_iterator_key(it), "note"));
  const syncline_value *info = syncline_iterator_value(it);
  CHECK(same(syncline_value_get(info, S("kind"))->data.string, "crdt"));
  CHECK(syncline_value_get(info, S("bytes"))->data.integer > 0);
  CHECK(syncline_value_get(info, S("changed_ms"))->data.integer > 1500000000000);
  EXPECT(SYNCLINE_END, syncline_iterator_next(it));
  syncline_iterator_free(it);

  EXPECT(SYNCLINE_ERROR_BUSY, syncline_store_remove(store, S("note")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_store_remove(store, S("other")));
  OK(syncline_store_compact(store, S("note")));
  OK(syncline_store_compact(store, S("")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_store_compact(store, S("other")));

  /* Another opener of the same file. */
  syncline_store *second = NULL;
  EXPECT(SYNCLINE_ERROR_BUSY, syncline_store_open(S(path), NULL, &second));
  CHECK(second == NULL);

  /* The document keeps its store alive. */
  syncline_store_free(store);
  syncline_store_free(again);
  OK(syncline_text_insert(text, 5, S("?")));
  syncline_text_free(text);
  syncline_document_free(document);

  store = open_file(path);
  document = open_document(store, "note");
  syncline_peer_id now = syncline_document_peer_id(document);
  CHECK(syncline_peer_id_compare(&peer, &now) == 0); /* it goes on under its own name */
  text = new_text(document, "t");
  CHECK(text_is(text, "kept!?"));
  syncline_text_free(text);
  syncline_document_free(document);

  /* A random name. */
  OK(syncline_store_open_document(store, NULL, &document));
  CHECK(syncline_document_id(document).len == 36);
  syncline_document_free(document);
  OK(syncline_store_close(store, PATIENCE_MS));
  OK(syncline_store_close(store, PATIENCE_MS));
  document = NULL;
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_store_open_document(store, NULL, &document));
  CHECK(syncline_store_length(store) == 0 && !syncline_store_contains(store, S("note")));
  syncline_store_free(store);
  CHECK(document == NULL);
}

static void read_only(const char *path) {
  syncline_store *store = NULL;
  OK(syncline_store_open(S(path), SYNCLINE_OPTIONS(syncline_store_options, .read_only = true), &store));
  syncline_document *document = open_document(store, "note");
  syncline_text *text = new_text(document, "t");
  CHECK(text_is(text, "kept!?"));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_store_compact(store, S("note")));
  syncline_text_free(text);
  syncline_document_free(document);
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_store_remove(store, S("note")));
  syncline_store_free(store);
}

static void removing(const char *path) {
  syncline_store *store = NULL;
  OK(syncline_store_open(S(path), SYNCLINE_OPTIONS(syncline_store_options, .durability = SYNCLINE_DURABILITY_NORMAL, .flush_delay_ms = 1, .compact_bytes = 100000), &store));
  OK(syncline_store_remove(store, S("note")));
  CHECK(!syncline_store_contains(store, S("note")));
  syncline_store_free(store);
}

static void damage_is_told(const char *path) {
  char damaged[256];
  snprintf(damaged, sizeof damaged, "%s.damaged", path);
  FILE *file = fopen(damaged, "wb");
  CHECK(file != NULL);
  for (int i = 0; i < 2000; i++) fputc("not a database"[i % 14], file);
  fclose(file);
  syncline_store *store = NULL;
  EXPECT(SYNCLINE_ERROR_CORRUPT, syncline_store_open(S(damaged), NULL, &store));
  EXPECT(SYNCLINE_ERROR_IO, syncline_store_open(S("/no/such/folder/file.db"), NULL, &store));
  CHECK(syncline_error_last()->domain == SYNCLINE_ERROR_DOMAIN_SQLITE && syncline_error_last()->code != 0);
  CHECK(store == NULL);
}

static void events(void) {
  syncline_store *store = NULL;
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_store_new_memory(&store));
  OK(syncline_store_subscribe(store, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  syncline_document *document = open_document(store, "note");
  syncline_map *map = new_map(document, "m");
  syncline_value one = int_value(1);
  OK(syncline_map_set(map, S("k"), &one));
  OK(syncline_store_flush(store, PATIENCE_MS));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_STORE);
  syncline_store_info info = {.struct_size = sizeof info};
  OK(syncline_event_store(event, &info));
  CHECK(info.status == SYNCLINE_OK && same(info.document_id, "note"));
  syncline_buffer json = {0};
  OK(syncline_event_to_json(event, &json));
  syncline_buffer_free(&json);
  INVALID(syncline_event_store(event, NULL));
  INVALID(syncline_event_store(NULL, &info));
  syncline_change_info change = {.struct_size = sizeof change};
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_change(event, &change));
  syncline_event_free(event);
  syncline_map_free(map);
  syncline_document_free(document);
  /* The subscription does not keep the store: with its last user it closes. */
  syncline_store_free(store);
  do {
    OK(syncline_queue_wait(queue, PATIENCE_MS, &event));
    syncline_event_type type = syncline_event_get_type(event);
    if (type == SYNCLINE_EVENT_CLOSED) EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_store(event, &info));
    syncline_event_free(event);
    if (type == SYNCLINE_EVENT_CLOSED) break;
    CHECK(type == SYNCLINE_EVENT_STORE);
  } while (true);
  CHECK(!syncline_subscription_is_active(subscription));
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
}

static void bad_arguments(const char *path) {
  syncline_store *store = NULL, *good = NULL;
  syncline_document *other = new_document(), *document = NULL;
  syncline_iterator *it = NULL;
  syncline_subscription *subscription = NULL;
  OK(syncline_store_new_memory(&good));
  INVALID(syncline_store_new_memory(NULL));
  INVALID(syncline_store_open(S(path), NULL, NULL));
  INVALID(syncline_store_open(S(""), NULL, &store));
  INVALID(syncline_store_open(text_with_length("a\0b", 3), NULL, &store));
  INVALID(syncline_store_open(bad_utf8(), NULL, &store));
  INVALID(syncline_store_open(S(path), SYNCLINE_OPTIONS(syncline_store_options, .durability = (syncline_durability)7), &store));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_store_open(S(path), SYNCLINE_OPTIONS(syncline_store_options, .key = B("k", 1)), &store));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_store_open(S(path), SYNCLINE_OPTIONS(syncline_store_options, .shared = true), &store));
  syncline_store *bad[2] = {NULL, (syncline_store *)other};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_store_retain(bad[i]) == NULL && syncline_store_length(bad[i]) == 0);
    INVALID(syncline_store_close(bad[i], 0));
    INVALID(syncline_store_open_document(bad[i], NULL, &document));
    CHECK(!syncline_store_contains(bad[i], S("x")));
    INVALID(syncline_store_iterate(bad[i], &it));
    INVALID(syncline_store_remove(bad[i], S("x")));
    INVALID(syncline_store_flush(bad[i], 0));
    INVALID(syncline_store_compact(bad[i], S("")));
    INVALID(syncline_store_subscribe(bad[i], NULL, &subscription));
    syncline_store_free(bad[i]);
  }
  INVALID(syncline_store_open_document(good, NULL, NULL));
  INVALID(syncline_store_open_document(good, SYNCLINE_OPTIONS(syncline_document_options, .document_id = bad_utf8()), &document));
  char name[2000];
  memset(name, 'n', sizeof name);
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_store_open_document(good, SYNCLINE_OPTIONS(syncline_document_options, .document_id = text_with_length(name, sizeof name)), &document));
  CHECK(!syncline_store_contains(good, bad_utf8()));
  INVALID(syncline_store_iterate(good, NULL));
  INVALID(syncline_store_remove(good, bad_utf8()));
  INVALID(syncline_store_compact(good, bad_utf8()));
  INVALID(syncline_store_subscribe(good, NULL, &subscription));
  CHECK(!store && !document && !it && !subscription);
  syncline_store_free(good);
  syncline_document_free(other);
}

int main(void) {
  /* The runner gives each program a fresh folder as working directory. */
  char path[64];
  snprintf(path, sizeof path, "store-%d.db", (int)getpid());
  a_file_keeps_documents(path);
  read_only(path);
  removing(path);
  damage_is_told(path);
  events();
  bad_arguments(path);
  return finish("store");
}
