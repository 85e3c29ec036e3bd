#include "check.h"

static void life(void) {
  syncline_document *document = NULL;
  syncline_peer_id peer;
  OK(syncline_peer_id_new(&peer));
  OK(syncline_document_new(
      SYNCLINE_OPTIONS(syncline_document_options, .document_id = SYNCLINE_STR("doc"),
                       .peer_id = &peer, .initial_clock = 77, .text_unit = SYNCLINE_TEXT_UNIT_UTF8,
                       .lock_timeout_ms = 50, .clock_drift_ms_max = 1000),
      &document));
  CHECK(same(syncline_document_id(document), "doc"));
  syncline_peer_id own = syncline_document_peer_id(document);
  CHECK(syncline_peer_id_compare(&peer, &own) == 0);
  CHECK(syncline_document_clock(document) == 77);
  CHECK(syncline_document_text_unit(document) == SYNCLINE_TEXT_UNIT_UTF8);
  CHECK(syncline_document_is_empty(document) && !syncline_document_is_closed(document));
  syncline_hlc clock = 0;
  OK(syncline_document_tick(document, &clock));
  OK(syncline_document_tick(document, NULL));
  CHECK(clock > 77 && syncline_document_clock(document) > clock);

  syncline_text *text = new_text(document, "t");
  OK(syncline_text_insert(text, 0, S("abc")));
  CHECK(!syncline_document_is_empty(document));
  syncline_document_stats stats = {.struct_size = sizeof stats};
  OK(syncline_document_get_stats(document, &stats));
  CHECK(stats.handler_count == 1 && stats.change_count == 1 && stats.snapshot_bytes == 0);
  CHECK(stats.heap_bytes > 0 && stats.waiting_changes == 0);
  OK(syncline_document_take_snapshot(document, 0, NULL));
  OK(syncline_document_get_stats(document, &stats));
  CHECK(stats.snapshot_bytes > 0 && stats.change_count == 0);

  /* A change whose clock is too far ahead is refused. */
  syncline_document *future = NULL;
  OK(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .initial_clock = syncline_hlc_now() + ((syncline_hlc)3600000 << 16)), &future));
  syncline_text *theirs = new_text(future, "t");
  OK(syncline_text_insert(theirs, 0, S("x")));
  syncline_buffer changes;
  OK(syncline_document_export_changes(future, NULL, &changes));
  EXPECT(SYNCLINE_ERROR_CLOCK_DRIFT, syncline_document_import_changes(document, syncline_buffer_bytes(&changes), NULL));
  CHECK(text_is(text, "abc"));
  syncline_buffer_free(&changes);
  syncline_text_free(theirs);
  syncline_document_free(future);

  /* Closing ends it for every handle. */
  syncline_document *again = syncline_document_retain(document);
  CHECK(again == document);
  OK(syncline_document_close(document));
  OK(syncline_document_close(document));
  CHECK(syncline_document_is_closed(again));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_text_insert(text, 0, S("x")));
  CHECK(syncline_text_length(text) == 0 && syncline_document_clock(again) == 0);
  CHECK(syncline_document_is_empty(again) && syncline_document_change_count(again) == 0);
  CHECK(same(syncline_document_id(again), "doc"));
  syncline_buffer out = {0};
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_text_to_string(text, &out));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_export_changes(again, NULL, &out));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_begin(again, no_bytes()));
  EXPECT(SYNCLINE_ERROR_NO_TRANSACTION, syncline_document_commit(again));
  syncline_text *none = NULL;
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_get_text(again, S("n"), NULL, &none));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_tick(again, &clock));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_get_stats(again, &stats));
  CHECK(none == NULL && out.data == NULL);
  syncline_document_free(document);
  syncline_document_free(again);
  syncline_text_free(text);
  syncline_document_free(NULL);

  syncline_document *x = new_document(), *y = new_document();
  CHECK(syncline_document_id(x).len == 36);
  CHECK(memcmp(syncline_document_id(x).data, syncline_document_id(y).data, 36) != 0);
  CHECK(syncline_document_text_unit(x) == SYNCLINE_TEXT_UNIT_UTF16);
  syncline_document_free(x);
  syncline_document_free(y);
}

static syncline_document *shared;
static syncline_text *shared_text;

static void *intruder(void *argument) {
  (void)argument;
  EXPECT(SYNCLINE_ERROR_BUSY, syncline_text_insert(shared_text, 0, S("x")));
  EXPECT(SYNCLINE_ERROR_BUSY, syncline_document_begin(shared, no_bytes()));
  EXPECT(SYNCLINE_ERROR_WRONG_THREAD, syncline_document_commit(shared));
  EXPECT(SYNCLINE_ERROR_WRONG_THREAD, syncline_document_rollback(shared));
  CHECK(!syncline_document_in_transaction(shared));
  return NULL;
}

static void body(void *user_data) {
  CHECK(syncline_document_in_transaction(shared));
  OK(syncline_text_insert(shared_text, 0, S("body ")));
  syncline_document_free((syncline_document *)user_data); /* its own handle */
}

static void transactions(void) {
  OK(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .lock_timeout_ms = 30), &shared));
  shared_text = new_text(shared, "t");
  EXPECT(SYNCLINE_ERROR_NO_TRANSACTION, syncline_document_commit(shared));
  EXPECT(SYNCLINE_ERROR_NO_TRANSACTION, syncline_document_rollback(shared));
  CHECK(!syncline_document_in_transaction(shared));
  OK(syncline_document_begin(shared, B("tag", 3)));
  OK(syncline_document_begin(shared, no_bytes()));
  OK(syncline_text_insert(shared_text, 0, S("a")));
  OK(syncline_document_commit(shared));
  CHECK(syncline_document_in_transaction(shared) && text_is(shared_text, "a"));
  CHECK(syncline_document_change_count(shared) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, intruder, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  OK(syncline_document_commit(shared));
  CHECK(!syncline_document_in_transaction(shared) && syncline_document_change_count(shared) == 1);

  OK(syncline_document_begin(shared, no_bytes()));
  OK(syncline_text_insert(shared_text, 1, S("b")));
  OK(syncline_text_remove(shared_text, 0, 1));
  CHECK(text_is(shared_text, "b"));
  OK(syncline_document_rollback(shared));
  CHECK(text_is(shared_text, "a") && syncline_document_change_count(shared) == 1);

  syncline_document *own = syncline_document_retain(shared);
  OK(syncline_document_transact(own, B("t", 1), body, own));
  CHECK(text_is(shared_text, "body a"));
  INVALID(syncline_document_transact(shared, no_bytes(), NULL, NULL));
  CHECK(!syncline_document_in_transaction(shared));
  INVALID(syncline_document_begin(shared, bad_bytes()));
  INVALID(syncline_document_transact(shared, bad_bytes(), body, NULL));
  syncline_text_free(shared_text);
  syncline_document_free(shared);
}

static void *editor(void *argument) {
  syncline_text *text = (syncline_text *)argument;
  for (int i = 0; i < 200; i++) {
    OK(syncline_text_insert(text, 0, S("x")));
    CHECK(syncline_text_length(text) > 0);
  }
  return NULL;
}

static void many_threads(void) {
  syncline_document *document = new_document();
  syncline_text *text = new_text(document, "t");
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, editor, text) == 0);
  for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(syncline_text_length(text) == 800);
  syncline_text_free(text);
  syncline_document_free(document);
}

static void handlers_by_id(void) {
  syncline_document *document = new_document();
  syncline_text *text = new_text(document, "text");
  syncline_map *map = new_map(document, "map");
  syncline_set *set = NULL;
  syncline_register *reg = NULL;
  OK(syncline_document_get_set(document, S("set"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_OR_SET), &set));
  OK(syncline_document_get_register(document, S("reg"), SYNCLINE_OPTIONS(syncline_handler_options, .type_name = SYNCLINE_STR("CRDTRegisterHandler<String>")), &reg));
  CHECK(syncline_document_has_handler(document, S("map")) && !syncline_document_has_handler(document, S("no")));
  syncline_handler *handler = NULL;
  EXPECT(SYNCLINE_NOT_FOUND, syncline_document_get_handler(document, S("no"), &handler));
  CHECK(handler == NULL);
  OK(syncline_document_get_handler(document, S("reg"), &handler));
  CHECK(same(syncline_handler_type_name(handler), "CRDTRegisterHandler<String>"));
  syncline_handler_free(handler);

  const char *names[4] = {"text", "map", "set", "reg"};
  syncline_iterator *it = NULL;
  OK(syncline_document_iterate_handlers(document, &it));
  for (int i = 0; i < 4; i++) {
    OK(syncline_iterator_next(it));
    CHECK(same(syncline_iterator_key(it), names[i]));
    OK(syncline_iterator_handler(it, &handler));
    CHECK(same(syncline_handler_id(handler), names[i]));
    syncline_handler_free(handler);
  }
  EXPECT(SYNCLINE_END, syncline_iterator_next(it));
  syncline_iterator_free(it);

  syncline_buffer out = {0};
  OK(syncline_document_new_handler_id(document, &out));
  CHECK(out.len == 36);
  syncline_buffer_free(&out);
  OK(syncline_text_insert(text, 0, S("hi")));
  OK(syncline_document_to_json(document, &out));
  CHECK(strstr((char *)out.data, "\"text\":\"hi\"") != NULL && strstr((char *)out.data, "\"map\":{}") != NULL);
  syncline_buffer_free(&out);

  /* An id in use, kinds of other functions and versions, options that do not exist. */
  syncline_text *no_text = NULL;
  syncline_map *no_map = NULL;
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_document_get_text(document, S("map"), NULL, &no_text));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_document_get_map(document, S("map"), SYNCLINE_OPTIONS(syncline_handler_options, .type_name = SYNCLINE_STR("CRDTMapHandler<num>")), &no_map));
  INVALID(syncline_document_get_text(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_LIST), &no_text));
  INVALID(syncline_document_get_text(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_CUSTOM), &no_text));
  INVALID(syncline_document_get_text(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_MAP), &no_text));
  INVALID(syncline_document_get_text(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = (syncline_handler_kind)99), &no_text));
  INVALID(syncline_document_get_text(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .codec = SYNCLINE_CODEC_BYTES), &no_text));
  INVALID(syncline_document_get_map(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .codec = (syncline_codec)9), &no_map));
  INVALID(syncline_document_get_map(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .type_name = bad_utf8()), &no_map));
  INVALID(syncline_document_get_map(document, bad_utf8(), NULL, &no_map));
  CHECK(!syncline_document_has_handler(document, S("n")) && no_text == NULL && no_map == NULL);
  syncline_text_free(text);
  syncline_map_free(map);
  syncline_set_free(set);
  syncline_register_free(reg);
  syncline_document_free(document);
}

static void bad_arguments(void) {
  syncline_document *document = NULL;
  INVALID(syncline_document_new(NULL, NULL));
  INVALID(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .text_unit = (syncline_text_unit)3), &document));
  INVALID(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .document_id = bad_utf8()), &document));
  syncline_document_options options = {0};
  INVALID(syncline_document_new(&options, &document));
  CHECK(document == NULL);

  /* A larger struct of a later version: fine as long as what is unknown is zero. */
  struct { syncline_document_options known; uint64_t later; } newer;
  memset(&newer, 0, sizeof newer);
  newer.known.struct_size = sizeof newer;
  OK(syncline_document_new(&newer.known, &document));
  syncline_document_free(document);
  document = NULL;
  newer.later = 1;
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_document_new(&newer.known, &document));
  CHECK(document == NULL);

  syncline_queue *queue = new_queue();
  syncline_document *good = new_document(), *bad[2] = {NULL, (syncline_document *)queue};
  syncline_hlc clock;
  syncline_document_stats stats = {.struct_size = sizeof stats};
  syncline_subscription *subscription = NULL;
  syncline_text *text = NULL;
  syncline_map *map = NULL;
  syncline_set *set = NULL;
  syncline_register *reg = NULL;
  syncline_handler *handler = NULL;
  syncline_iterator *it = NULL;
  syncline_buffer out = {0};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_document_retain(bad[i]) == NULL);
    INVALID(syncline_document_close(bad[i]));
    CHECK(!syncline_document_is_closed(bad[i]) && syncline_document_id(bad[i]).len == 0);
    syncline_peer_id peer = syncline_document_peer_id(bad[i]);
    CHECK(peer.bytes[6] == 0 && syncline_document_clock(bad[i]) == 0);
    INVALID(syncline_document_tick(bad[i], &clock));
    CHECK(syncline_document_text_unit(bad[i]) == SYNCLINE_TEXT_UNIT_UTF16);
    CHECK(syncline_document_is_empty(bad[i]));
    INVALID(syncline_document_get_stats(bad[i], &stats));
    INVALID(syncline_document_subscribe(bad[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_document_begin(bad[i], no_bytes()));
    INVALID(syncline_document_commit(bad[i]));
    INVALID(syncline_document_rollback(bad[i]));
    INVALID(syncline_document_transact(bad[i], no_bytes(), body, NULL));
    CHECK(!syncline_document_in_transaction(bad[i]));
    INVALID(syncline_document_get_text(bad[i], S("x"), NULL, &text));
    INVALID(syncline_document_get_map(bad[i], S("x"), NULL, &map));
    INVALID(syncline_document_get_set(bad[i], S("x"), NULL, &set));
    INVALID(syncline_document_get_register(bad[i], S("x"), NULL, &reg));
    INVALID(syncline_document_get_handler(bad[i], S("x"), &handler));
    CHECK(!syncline_document_has_handler(bad[i], S("x")));
    INVALID(syncline_document_iterate_handlers(bad[i], &it));
    INVALID(syncline_document_new_handler_id(bad[i], &out));
    INVALID(syncline_document_to_json(bad[i], &out));
    syncline_document_free(bad[i]);
  }
  INVALID(syncline_document_get_stats(good, NULL));
  stats.struct_size = 1;
  INVALID(syncline_document_get_stats(good, &stats));
  INVALID(syncline_document_subscribe(good, NULL, &subscription));
  INVALID(syncline_document_get_text(good, S("x"), NULL, NULL));
  INVALID(syncline_document_get_map(good, S("x"), NULL, NULL));
  INVALID(syncline_document_get_set(good, S("x"), NULL, NULL));
  INVALID(syncline_document_get_register(good, S("x"), NULL, NULL));
  INVALID(syncline_document_get_set(good, bad_length(), NULL, &set));
  INVALID(syncline_document_get_register(good, bad_length(), NULL, &reg));
  INVALID(syncline_document_get_handler(good, S("x"), NULL));
  INVALID(syncline_document_get_handler(good, bad_utf8(), &handler));
  CHECK(!syncline_document_has_handler(good, bad_utf8()));
  INVALID(syncline_document_iterate_handlers(good, NULL));
  INVALID(syncline_document_new_handler_id(good, NULL));
  INVALID(syncline_document_to_json(good, NULL));
  CHECK(!syncline_document_has_handler(good, S("x")));
  CHECK(!text && !map && !set && !reg && !handler && !it && !subscription && !out.data);
  syncline_document_free(good);
  syncline_queue_free(queue);
}

int main(void) {
  life();
  transactions();
  many_threads();
  handlers_by_id();
  bad_arguments();
  return finish("document");
}
