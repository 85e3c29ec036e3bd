/* Time travel: cursor, view, fork, events; differences between versions. */
#include "check.h"

#include <semaphore.h>

/* A text "n" and a map "m", in seven changes. */
static syncline_document *written(void) {
  syncline_document *document = new_document();
  syncline_text *text = new_text(document, "n");
  syncline_map *map = new_map(document, "m");
  syncline_value one = int_value(1), two = int_value(2);
  OK(syncline_text_insert(text, 0, S("Hi")));
  OK(syncline_map_set(map, S("k"), &one));
  OK(syncline_text_insert(text, 2, S(" you")));
  OK(syncline_map_set(map, S("k"), &two));
  OK(syncline_text_remove(text, 0, 1));
  OK(syncline_map_remove(map, S("k")));
  OK(syncline_text_insert(text, 0, S("h")));
  syncline_map_free(map);
  syncline_text_free(text);
  return document;
}

static syncline_history *new_history(syncline_document *document) {
  syncline_history *history = NULL;
  OK(syncline_history_new(document, &history));
  return history;
}

static syncline_document *view_of(syncline_history *history) {
  syncline_document *view = NULL;
  OK(syncline_history_document(history, &view));
  return view;
}

static void a_cursor_moves(void) {
  static const char *texts[] = {"", "Hi", "Hi", "Hi you", "Hi you", "i you", "i you", "hi you"};
  static const char *values[] = {NULL, NULL, "1", "1", "2", "2", NULL, NULL};
  syncline_document *document = written();
  syncline_history *history = new_history(document);
  syncline_document *view = view_of(history);
  syncline_text *text = new_text(view, "n");
  syncline_map *map = new_map(view, "m");
  CHECK(syncline_history_length(history) == 7 && syncline_history_cursor(history) == 7);
  CHECK(!syncline_history_can_next(history) && syncline_history_can_previous(history));
  EXPECT(SYNCLINE_UNCHANGED, syncline_history_next(history));
  for (int way = 0; way < 3; way++) { /* step by step back, forwards again, then at random */
    for (uint64_t step = 0; step < 7; step++) {
      uint64_t cursor = way == 0 ? 6 - step : way == 1 ? step + 1 : (step * 3 + 1) % 8;
      if (way == 0) OK(syncline_history_previous(history));
      if (way == 1) OK(syncline_history_next(history));
      if (way == 2) OK(syncline_history_jump(history, cursor));
      CHECK(syncline_history_cursor(history) == cursor);
      CHECK(syncline_history_can_next(history) == (cursor < 7) && syncline_history_can_previous(history) == (cursor > 0));
      CHECK(text_is(text, texts[cursor]));
      CHECK(syncline_document_change_count(view) == cursor);
      syncline_value *value = NULL;
      EXPECT(values[cursor] ? SYNCLINE_OK : SYNCLINE_NOT_FOUND, syncline_map_get(map, S("k"), &value));
      if (values[cursor]) CHECK(take_value_is(value, values[cursor]));
    }
    if (way == 0) EXPECT(SYNCLINE_UNCHANGED, syncline_history_previous(history));
  }
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_history_jump(history, 8));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_history_jump(history, UINT64_MAX));
  OK(syncline_history_jump(history, 7));
  EXPECT(SYNCLINE_UNCHANGED, syncline_history_jump(history, 7));

  syncline_change *change = NULL;
  OK(syncline_history_change(history, 2, &change));
  syncline_peer_id author = syncline_change_author(change), peer = syncline_document_peer_id(document);
  CHECK(memcmp(&author, &peer, sizeof peer) == 0 && same(syncline_change_handler_id(change), "n"));
  int64_t time_ms = syncline_hlc_time_ms(syncline_change_clock(change));
  syncline_change_free(change);
  change = NULL;
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_history_change(history, 7, &change));
  OK(syncline_history_jump_to_time(history, 0));
  CHECK(syncline_history_cursor(history) == 0 && text_is(text, ""));
  EXPECT(SYNCLINE_UNCHANGED, syncline_history_jump_to_time(history, INT64_MIN));
  OK(syncline_history_jump_to_time(history, time_ms));
  CHECK(syncline_history_cursor(history) >= 3);
  syncline_status status = syncline_history_jump_to_time(history, INT64_MAX);
  CHECK(status >= 0 && syncline_history_cursor(history) == 7);

  /* A history of a history shows what that shows. */
  OK(syncline_history_jump(history, 2));
  syncline_history *inner = new_history(view);
  CHECK(syncline_history_length(inner) == 2);
  syncline_history_free(inner);

  CHECK(change == NULL);
  syncline_map_free(map);
  syncline_text_free(text);
  syncline_document_free(view);
  syncline_history_free(history);
  syncline_document_free(document);
}

static void a_view_is_read_only(void) {
  syncline_document *document = written();
  syncline_history *history = new_history(document);
  syncline_document *view = view_of(history), *again = view_of(history);
  OK(syncline_history_jump(history, 3));
  syncline_text *text = new_text(view, "n"), *late = new_text(again, "late");
  syncline_map *map = new_map(view, "m");
  syncline_value one = int_value(1);
  syncline_undo *undo = NULL;
  syncline_snapshot *snapshot = NULL;
  syncline_buffer changes;
  OK(syncline_document_export_changes(document, NULL, &changes));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_text_insert(text, 0, S("x")));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_text_remove(text, 0, 1));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_map_set(map, S("k"), &one));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_document_tick(view, NULL));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_document_begin(view, no_bytes()));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_document_import_changes(view, syncline_buffer_bytes(&changes), NULL));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_document_take_snapshot(view, 0, &snapshot));
  syncline_version_vector *vector = NULL;
  OK(syncline_document_version_vector(view, &vector));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_prune(view, vector));
  syncline_version_vector_free(vector);
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_undo_new(view, NULL, &undo));
  CHECK(undo == NULL && snapshot == NULL);
  syncline_buffer_free(&changes);
  CHECK(text_is(text, "Hi you") && syncline_text_length(late) == 0);

  /* It does not follow the document, and outlives it and the history. */
  syncline_text *live = new_text(document, "n");
  OK(syncline_text_insert(live, 0, S("later: ")));
  OK(syncline_document_close(document));
  syncline_text_free(live);
  syncline_document_free(document);
  CHECK(syncline_history_length(history) == 7);
  OK(syncline_history_jump(history, 7));
  syncline_history_free(history);
  syncline_document_free(view);
  CHECK(text_is(text, "hi you"));

  /* Closing the view ends the history, too. */
  history = new_history(again);
  OK(syncline_document_close(again));
  OK(syncline_history_previous(history));
  syncline_document_free(again);
  again = view_of(history);
  OK(syncline_document_close(again));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_history_next(history));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_text_to_string(text, &changes));
  CHECK(syncline_history_length(history) == 0 && !syncline_history_can_previous(history));
  syncline_history_free(history);
  syncline_document_free(again);
  syncline_map_free(map);
  syncline_text_free(late);
  syncline_text_free(text);
}

static void a_fork_goes_its_own_way(void) {
  syncline_document *document = written();
  syncline_history *history = new_history(document);
  OK(syncline_history_jump(history, 4));
  syncline_document *fork = NULL;
  OK(syncline_history_fork(history, SYNCLINE_OPTIONS(syncline_document_options, .document_id = S("fork"), .text_unit = SYNCLINE_TEXT_UNIT_UTF8), &fork));
  syncline_peer_id a = syncline_document_peer_id(document), b = syncline_document_peer_id(fork);
  CHECK(memcmp(&a, &b, sizeof a) != 0 && same(syncline_document_id(fork), "fork"));
  CHECK(syncline_document_text_unit(fork) == SYNCLINE_TEXT_UNIT_UTF8);
  syncline_text *text = new_text(fork, "n");
  CHECK(text_is(text, "Hi you"));
  OK(syncline_text_insert(text, 6, S("!")));
  OK(syncline_history_jump(history, 0));
  syncline_history_free(history);
  CHECK(text_is(text, "Hi you!") && syncline_document_change_count(fork) == 5);
  /* It is a replica: both merge. */
  copy_changes(document, fork);
  copy_changes(fork, document);
  syncline_text *original = new_text(document, "n");
  CHECK(text_is(text, "hi you!") && text_is(original, "hi you!"));
  syncline_text_free(original);
  syncline_text_free(text);
  syncline_document_free(fork);
  syncline_document_free(document);
}

static void moves_are_told(void) {
  syncline_document *document = new_document_with_unit(SYNCLINE_TEXT_UNIT_UTF8);
  syncline_text *text = new_text(document, "n"), *shown = NULL;
  OK(syncline_text_insert(text, 0, S("h\xc3\xa9")));
  OK(syncline_text_insert(text, 3, S("!")));
  syncline_history *history = new_history(document);
  syncline_document *view = view_of(history);
  shown = new_text(view, "n");
  syncline_queue *queue = new_queue(), *changes = new_queue(), *moves = new_queue();
  syncline_subscription *all = NULL, *of_text = NULL, *masked = NULL;
  OK(syncline_history_subscribe(history, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &all));
  OK(syncline_text_subscribe(shown, SYNCLINE_OPTIONS(syncline_listener, .queue = changes), &of_text));
  OK(syncline_history_subscribe(history, SYNCLINE_OPTIONS(syncline_listener, .queue = moves, .mask = 1 << SYNCLINE_EVENT_HISTORY), &masked));
  OK(syncline_history_previous(history));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_HISTORY);
  syncline_history_info info = {.struct_size = sizeof info};
  syncline_change_info change = {.struct_size = sizeof change};
  OK(syncline_event_history(event, &info));
  CHECK(info.cursor == 1 && info.length == 2);
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_change(event, &change));
  syncline_buffer json;
  OK(syncline_event_to_json(event, &json));
  CHECK(strstr((const char *)json.data, "\"cursor\":1") != NULL);
  syncline_buffer_free(&json);
  syncline_event_free(event);
  syncline_queue *both[2] = {queue, changes};
  for (int i = 0; i < 2; i++) {
    event = next_event(both[i], SYNCLINE_EVENT_CHANGE);
    EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_history(event, &info));
    OK(syncline_event_change(event, &change));
    CHECK(change.origin == SYNCLINE_ORIGIN_HISTORY && change.target_count == 1);
    const syncline_change_target *target = &change.targets[0];
    CHECK(same(target->id, "n") && target->text_op_count == 2);
    CHECK(target->text_ops[0].kind == SYNCLINE_OP_RETAIN && target->text_ops[0].length == 3);
    CHECK(target->text_ops[1].kind == SYNCLINE_OP_REMOVE && target->text_ops[1].length == 1);
    syncline_event_free(event);
  }
  EXPECT(SYNCLINE_UNCHANGED, syncline_history_jump(history, 1)); /* no move, no event */
  CHECK(syncline_queue_length(queue) == 0 && syncline_queue_length(moves) == 1);
  syncline_event_free(next_event(moves, SYNCLINE_EVENT_HISTORY));
  syncline_history_free(history); /* nobody can move it any more */
  syncline_event_free(next_event(queue, SYNCLINE_EVENT_CLOSED));
  syncline_event_free(next_event(moves, SYNCLINE_EVENT_CLOSED));
  CHECK(syncline_queue_length(changes) == 0 && !syncline_subscription_is_active(all));
  syncline_subscription_free(all);
  syncline_subscription_free(of_text);
  syncline_subscription_free(masked);
  syncline_queue_free(queue);
  syncline_queue_free(changes);
  syncline_queue_free(moves);
  syncline_text_free(shown);
  syncline_text_free(text);
  syncline_document_free(view);
  syncline_document_free(document);
}

typedef struct walk {
  syncline_history *history;
  syncline_subscription *subscription;
  sem_t ready, done;
  uint64_t least;
} walk;

/* Goes back until the beginning, then frees everything from inside. */
static void on_move(void *user_data, const syncline_event *event) {
  walk *w = user_data;
  syncline_history_info info = {.struct_size = sizeof info};
  if (syncline_event_get_type(event) != SYNCLINE_EVENT_HISTORY) return;
  OK(syncline_event_history(event, &info));
  if (info.cursor < w->least) w->least = info.cursor;
  if (info.cursor > 0) {
    OK(syncline_history_previous(w->history));
    return;
  }
  sem_wait(&w->ready);
  syncline_subscription_free(w->subscription);
  syncline_history_free(w->history);
  sem_post(&w->done);
}

static void callbacks_may_travel_and_free(void) {
  syncline_document *document = written();
  walk w = {.history = new_history(document), .least = UINT64_MAX};
  sem_init(&w.ready, 0, 0);
  sem_init(&w.done, 0, 0);
  OK(syncline_history_subscribe(w.history, SYNCLINE_OPTIONS(syncline_listener, .callback = on_move, .user_data = &w), &w.subscription));
  OK(syncline_history_previous(w.history));
  sem_post(&w.ready);
  sem_wait(&w.done);
  CHECK(w.least == 0);
  sem_destroy(&w.ready);
  sem_destroy(&w.done);
  syncline_document_free(document);
}

static syncline_version_vector *version_of(syncline_document *document) {
  syncline_version_vector *vector = NULL;
  OK(syncline_document_version_vector(document, &vector));
  return vector;
}

static void versions_differ(void) {
  syncline_document *document = new_document_with_unit(SYNCLINE_TEXT_UNIT_CODE_POINT);
  syncline_text *text = new_text(document, "n");
  syncline_map *map = new_map(document, "m");
  syncline_value one = int_value(1), two = int_value(2);
  OK(syncline_text_insert(text, 0, S("\xf0\x9f\x98\x80" "ab"))); /* one code point, two units */
  OK(syncline_map_set(map, S("k"), &one));
  syncline_version_vector *old = version_of(document);
  OK(syncline_text_insert(text, 1, S("-")));
  OK(syncline_text_remove(text, 3, 1));
  OK(syncline_map_set(map, S("k"), &two));
  OK(syncline_map_set(map, S("l"), &two));
  syncline_version_vector *now = version_of(document);

  syncline_event *event = NULL;
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_document_diff(document, old, NULL, &event));
  CHECK(syncline_event_get_type(event) == SYNCLINE_EVENT_CHANGE && syncline_event_sequence(event) == 0);
  OK(syncline_event_change(event, &info));
  CHECK(info.origin == SYNCLINE_ORIGIN_HISTORY && info.target_count == 2 && info.transaction == 0);
  const syncline_text_op *ops = info.targets[0].text_ops;
  CHECK(same(info.targets[0].id, "n") && info.targets[0].text_op_count == 4);
  CHECK(ops[0].kind == SYNCLINE_OP_RETAIN && ops[0].length == 1);
  CHECK(ops[1].kind == SYNCLINE_OP_INSERT && ops[1].length == 1 && same(ops[1].text, "-"));
  CHECK(ops[2].kind == SYNCLINE_OP_RETAIN && ops[2].length == 1);
  CHECK(ops[3].kind == SYNCLINE_OP_REMOVE && ops[3].length == 1);
  CHECK(same(info.targets[1].id, "m") && info.targets[1].map_op_count == 2);
  const syncline_map_op *keys = info.targets[1].map_ops;
  CHECK(same(keys[0].key, "k") && value_is(keys[0].old_value, "1") && value_is(keys[0].new_value, "2"));
  CHECK(same(keys[1].key, "l") && keys[1].old_value == NULL);
  syncline_event_free(event);

  OK(syncline_document_diff(document, now, old, &event)); /* and back */
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 2 && info.targets[0].text_op_count == 4);
  ops = info.targets[0].text_ops;
  CHECK(ops[1].kind == SYNCLINE_OP_REMOVE && ops[1].length == 1);
  CHECK(ops[3].kind == SYNCLINE_OP_INSERT && same(ops[3].text, "b"));
  syncline_event_free(event);

  OK(syncline_document_diff(document, NULL, old, &event)); /* from nothing */
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 2 && info.targets[0].text_op_count == 1 && info.targets[0].text_ops[0].length == 3);
  syncline_event_free(event);
  OK(syncline_document_diff(document, now, now, &event));
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 0);
  syncline_event_free(event);
  event = NULL;

  INVALID(syncline_document_diff(NULL, old, now, &event));
  INVALID(syncline_document_diff((syncline_document *)text, old, now, &event));
  INVALID(syncline_document_diff(document, (syncline_version_vector *)text, now, &event));
  INVALID(syncline_document_diff(document, old, (syncline_version_vector *)text, &event));
  INVALID(syncline_document_diff(document, old, now, NULL));
  syncline_snapshot *snapshot = NULL;
  OK(syncline_document_take_snapshot(document, 0, &snapshot)); /* forgets the changes */
  syncline_snapshot_free(snapshot);
  EXPECT(SYNCLINE_ERROR_OUT_OF_SYNC, syncline_document_diff(document, old, NULL, &event));
  OK(syncline_document_close(document));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_diff(document, old, NULL, &event));
  CHECK(event == NULL);
  syncline_version_vector_free(old);
  syncline_version_vector_free(now);
  syncline_map_free(map);
  syncline_text_free(text);
  syncline_document_free(document);
}

static void bad_arguments(void) {
  syncline_document *document = written();
  syncline_history *history = new_history(document), *none = NULL;
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  syncline_document *view = NULL;
  syncline_change *change = NULL;
  syncline_history_info info = {.struct_size = sizeof info};
  INVALID(syncline_history_new(NULL, &none));
  INVALID(syncline_history_new((syncline_document *)history, &none));
  INVALID(syncline_history_new(document, NULL));
  syncline_history *wrong[2] = {NULL, (syncline_history *)document};
  for (int i = 0; i < 2; i++) {
    syncline_history *h = wrong[i];
    CHECK(syncline_history_length(h) == 0 && syncline_history_cursor(h) == 0);
    CHECK(!syncline_history_can_next(h) && !syncline_history_can_previous(h));
    INVALID(syncline_history_next(h));
    INVALID(syncline_history_previous(h));
    INVALID(syncline_history_jump(h, 0));
    INVALID(syncline_history_jump_to_time(h, 0));
    INVALID(syncline_history_change(h, 0, &change));
    INVALID(syncline_history_document(h, &view));
    INVALID(syncline_history_fork(h, NULL, &view));
    INVALID(syncline_history_subscribe(h, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    syncline_history_free(h);
  }
  INVALID(syncline_history_change(history, 0, NULL));
  INVALID(syncline_history_document(history, NULL));
  INVALID(syncline_history_fork(history, NULL, NULL));
  INVALID(syncline_history_fork(history, SYNCLINE_OPTIONS(syncline_document_options, .text_unit = 9), &view));
  INVALID(syncline_history_subscribe(history, NULL, &subscription));
  INVALID(syncline_history_subscribe(history, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), NULL));
  INVALID(syncline_event_history(NULL, &info));
  INVALID(syncline_event_history((syncline_event *)history, &info));
  OK(syncline_document_close(document));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_history_new(document, &none));
  CHECK(!none && !view && !change && !subscription);
  syncline_queue_free(queue);
  syncline_history_free(history);
  syncline_document_free(document);
}

int main(void) {
  a_cursor_moves();
  a_view_is_read_only();
  a_fork_goes_its_own_way();
  moves_are_told();
  callbacks_may_travel_and_free();
  versions_differ();
  bad_arguments();
  return finish("history");
}
