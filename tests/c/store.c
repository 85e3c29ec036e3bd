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
    uint64_t problems = 7;
    syncline_buffer buffer = {0};
    syncline_value *value = NULL;
    INVALID(syncline_store_check(bad[i], false, &problems));
    INVALID(syncline_store_suspend(bad[i]));
    INVALID(syncline_store_resume(bad[i]));
    INVALID(syncline_store_export(bad[i], S("x"), &buffer));
    INVALID(syncline_store_import(bad[i], B("x", 1), &buffer));
    INVALID(syncline_store_set_value(bad[i], S("x"), NULL));
    INVALID(syncline_store_get_value(bad[i], S("x"), &value));
    CHECK(problems == 7 && !buffer.data && !value);
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
  INVALID(syncline_store_check(good, false, NULL));
  INVALID(syncline_store_export(good, S("x"), NULL));
  INVALID(syncline_store_import(good, B("x", 1), NULL));
  INVALID(syncline_store_set_value(good, bad_utf8(), NULL));
  INVALID(syncline_store_get_value(good, S("x"), NULL));
  syncline_value one = int_value(1);
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_store_set_value(good, text_with_length(name, sizeof name), &one));
  CHECK(!store && !document && !it && !subscription);
  syncline_store_free(good);
  syncline_document_free(other);
}

static void sleeping_and_waking(const char *path) {
  syncline_store *app = open_file(path), *extension = NULL;
  syncline_document *document = open_document(app, "slept");
  syncline_text *text = new_text_of(document, "t", SYNCLINE_HANDLER_FUGUE_TEXT);
  OK(syncline_text_insert(text, 0, S("app ")));
  OK(syncline_store_suspend(app));
  OK(syncline_store_suspend(app));
  OK(syncline_text_insert(text, 4, S("asleep ")));
  uint64_t problems = 7;
  EXPECT(SYNCLINE_ERROR_BUSY, syncline_store_check(app, false, &problems));

  /* Another user of the file. */
  OK(syncline_store_open(S(path), SYNCLINE_OPTIONS(syncline_store_options, .shared = true), &extension));
  syncline_document *other = open_document(extension, "slept");
  syncline_text *other_text = new_text_of(other, "t", SYNCLINE_HANDLER_FUGUE_TEXT);
  CHECK(text_is(other_text, "app "));
  OK(syncline_text_insert(other_text, 0, S("extension ")));
  syncline_text_free(other_text);
  syncline_document_free(other);
  OK(syncline_store_close(extension, PATIENCE_MS));
  syncline_store_free(extension);

  OK(syncline_store_resume(app));
  OK(syncline_store_resume(app));
  OK(syncline_store_flush(app, PATIENCE_MS));
  CHECK(text_is(text, "extension app asleep "));
  OK(syncline_store_check(app, false, &problems));
  CHECK(problems == 0);
  OK(syncline_store_check(app, true, &problems));
  syncline_text_free(text);
  syncline_document_free(document);
  syncline_store_free(app);
}

static void copies_and_values(const char *path) {
  syncline_store *store = open_file(path), *memory = NULL;
  OK(syncline_store_new_memory(&memory));
  syncline_buffer bytes = {0}, name = {0};
  EXPECT(SYNCLINE_NOT_FOUND, syncline_store_export(store, S("nothing"), &bytes));
  OK(syncline_store_export(store, S("slept"), &bytes));
  syncline_bytes exported = {bytes.data, bytes.len};
  OK(syncline_store_import(memory, exported, &name));
  CHECK(name.len == 5 && memcmp(name.data, "slept", 5) == 0);
  syncline_buffer_free(&name);
  EXPECT(SYNCLINE_ERROR_ALREADY_EXISTS, syncline_store_import(memory, exported, &name));
  EXPECT(SYNCLINE_ERROR_CORRUPT, syncline_store_import(memory, B("nonsense", 8), &name));
  syncline_document *document = open_document(memory, "slept");
  syncline_text *text = new_text_of(document, "t", SYNCLINE_HANDLER_FUGUE_TEXT);
  CHECK(text_is(text, "extension app asleep "));
  syncline_text_free(text);
  syncline_document_free(document);
  syncline_buffer_free(&bytes);

  syncline_store *stores[2] = {store, memory};
  for (int i = 0; i < 2; i++) {
    syncline_value *value = NULL;
    EXPECT(SYNCLINE_NOT_FOUND, syncline_store_get_value(stores[i], S("theme"), &value));
    syncline_value dark = string_value("dark");
    OK(syncline_store_set_value(stores[i], S("theme"), &dark));
    syncline_value raw = bytes_value("\0\377", 2);
    OK(syncline_store_set_value(stores[i], S("raw"), &raw));
    OK(syncline_store_get_value(stores[i], S("theme"), &value));
    CHECK(syncline_value_equals(value, &dark));
    syncline_value_free(value);
    OK(syncline_store_get_value(stores[i], S("raw"), &value));
    CHECK(syncline_value_equals(value, &raw));
    syncline_value_free(value);
    OK(syncline_store_set_value(stores[i], S("raw"), NULL));
    EXPECT(SYNCLINE_NOT_FOUND, syncline_store_get_value(stores[i], S("raw"), &value));
  }
  CHECK(syncline_store_length(memory) == 1); /* values are no documents */
  syncline_store_free(store);
  store = open_file(path);
  syncline_value *kept = NULL;
  OK(syncline_store_get_value(store, S("theme"), &kept));
  CHECK(same(kept->data.string, "dark"));
  syncline_value_free(kept);
  syncline_store_free(store);
  syncline_store_free(memory);
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
  char other[80];
  snprintf(other, sizeof other, "%s-2", path);
  sleeping_and_waking(other);
  copies_and_values(other);
  bad_arguments(path);
  return finish("store");
}
