/* Undo and redo: steps, scopes, tags, attached values, events, stacks in the store. */
#include "check.h"

#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

static syncline_undo *new_undo(syncline_document *document) {
  syncline_undo *undo = NULL;
  OK(syncline_undo_new(document, NULL, &undo));
  return undo;
}

/* One step of its own. */
static void type(syncline_undo *undo, syncline_text *text, const char *content) {
  OK(syncline_undo_stop_capturing(undo));
  OK(syncline_text_insert(text, syncline_text_length(text), S(content)));
}

static bool counts_are(const syncline_undo *undo, uint64_t undo_count, uint64_t redo_count) {
  uint64_t undos = syncline_undo_undo_count(undo), redos = syncline_undo_redo_count(undo);
  CHECK(syncline_undo_can_undo(undo) == (undos > 0) && syncline_undo_can_redo(undo) == (redos > 0));
  return undos == undo_count && redos == redo_count;
}

static void steps_go_back_and_forth(void) {
  syncline_document *document = new_document(), *other = new_document();
  syncline_text *text = new_text(document, "n"), *theirs = new_text(other, "n");
  OK(syncline_text_insert(text, 0, S("before "))); /* not noted */
  syncline_undo *undo = new_undo(document);
  CHECK(counts_are(undo, 0, 0));
  EXPECT(SYNCLINE_UNCHANGED, syncline_undo_undo(undo));
  EXPECT(SYNCLINE_UNCHANGED, syncline_undo_redo(undo));
  OK(syncline_text_insert(text, 7, S("a")));
  OK(syncline_text_insert(text, 8, S("b"))); /* soon enough: the same step */
  type(undo, text, "c");
  CHECK(counts_are(undo, 2, 0));
  copy_changes(document, other);
  OK(syncline_text_insert(theirs, 0, S("(theirs) ")));
  copy_changes(other, document);
  CHECK(counts_are(undo, 2, 0));
  OK(syncline_undo_undo(undo));
  CHECK(text_is(text, "(theirs) before ab") && counts_are(undo, 1, 1));
  OK(syncline_undo_undo(undo));
  CHECK(text_is(text, "(theirs) before ") && counts_are(undo, 0, 2));
  EXPECT(SYNCLINE_UNCHANGED, syncline_undo_undo(undo));
  OK(syncline_undo_redo(undo));
  OK(syncline_undo_redo(undo));
  CHECK(text_is(text, "(theirs) before abc") && counts_are(undo, 2, 0));
  OK(syncline_undo_undo(undo));
  type(undo, text, "d"); /* a new edit forgets what could be redone */
  CHECK(counts_are(undo, 2, 0));
  OK(syncline_document_begin(document, no_bytes()));
  EXPECT(SYNCLINE_ERROR_IN_TRANSACTION, syncline_undo_undo(undo));
  EXPECT(SYNCLINE_ERROR_IN_TRANSACTION, syncline_undo_redo(undo));
  OK(syncline_document_commit(document));
  copy_changes(document, other);
  CHECK(text_is(theirs, "(theirs) before abd")); /* undo is ordinary edits */
  OK(syncline_undo_clear(undo));
  CHECK(counts_are(undo, 0, 0));

  /* A capture time of one minute joins everything; two steps at most. */
  syncline_undo *slow = NULL, *few = NULL;
  OK(syncline_undo_new(document, SYNCLINE_OPTIONS(syncline_undo_options, .capture_timeout_ms = 60000), &slow));
  OK(syncline_undo_new(document, SYNCLINE_OPTIONS(syncline_undo_options, .steps_max = 2), &few));
  for (int i = 0; i < 5; i++) type(few, text, "x");
  CHECK(counts_are(slow, 1, 0) && counts_are(few, 2, 0));
  OK(syncline_undo_undo(slow));
  CHECK(text_is(text, "(theirs) before abd"));
  syncline_undo_free(slow);
  /* Of the steps of the other one nothing is left: they are passed over. */
  EXPECT(SYNCLINE_UNCHANGED, syncline_undo_undo(few));
  CHECK(counts_are(few, 0, 0));
  syncline_undo_free(few);
  syncline_text_free(theirs);
  syncline_text_free(text);
  syncline_document_free(other);
  syncline_document_free(document);
  CHECK(counts_are(undo, 1, 0)); /* keeps its document alive */
  syncline_undo_free(undo);
}

static void scopes_and_tags_choose(void) {
  syncline_document *document = new_document();
  syncline_text *in = new_text(document, "in"), *out = new_text(document, "out");
  syncline_undo *scoped = new_undo(document), *tagged = new_undo(document);
  OK(syncline_undo_add_scope(scoped, S("in")));
  OK(syncline_undo_add_scope(scoped, S("later")));
  OK(syncline_undo_add_tag(tagged, B("ui", 2)));
  OK(syncline_text_insert(in, 0, S("a")));
  OK(syncline_text_insert(out, 0, S("b")));
  CHECK(counts_are(scoped, 1, 0) && counts_are(tagged, 0, 0));
  OK(syncline_document_begin(document, B("ui", 2)));
  OK(syncline_text_insert(out, 1, S("c")));
  OK(syncline_document_commit(document));
  CHECK(counts_are(scoped, 1, 0) && counts_are(tagged, 1, 0));
  OK(syncline_undo_undo(tagged));
  OK(syncline_undo_undo(scoped));
  CHECK(text_is(in, "") && text_is(out, "b"));
  OK(syncline_undo_remove_tag(tagged, B("ui", 2))); /* no tag left: all count */
  EXPECT(SYNCLINE_NOT_FOUND, syncline_undo_remove_tag(tagged, B("ui", 2)));
  OK(syncline_text_insert(out, 1, S("d")));
  CHECK(counts_are(tagged, 1, 0));
  OK(syncline_undo_add_tag(tagged, no_bytes())); /* only edits without a tag */
  OK(syncline_undo_stop_capturing(tagged));
  OK(syncline_document_begin(document, B("ui", 2)));
  OK(syncline_text_insert(out, 0, S("e")));
  OK(syncline_document_commit(document));
  CHECK(counts_are(tagged, 1, 0));
  syncline_undo_free(scoped);
  syncline_undo_free(tagged);
  syncline_text_free(in);
  syncline_text_free(out);
  syncline_document_free(document);
}

static uint64_t take_info(syncline_queue *queue, bool pushed, uint64_t undo_count, uint64_t redo_count, const char *meta) {
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_UNDO);
  syncline_undo_info info = {.struct_size = sizeof info};
  syncline_change_info change = {.struct_size = sizeof change};
  OK(syncline_event_undo(event, &info));
  CHECK(info.pushed == pushed && info.undo_count == undo_count && info.redo_count == redo_count);
  if (meta) CHECK(value_is(info.meta, meta));
  else CHECK(info.meta == NULL);
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_change(event, &change));
  syncline_buffer json;
  OK(syncline_event_to_json(event, &json));
  CHECK(strstr((const char *)json.data, pushed ? "\"pushed\":true" : "\"pushed\":false") != NULL);
  syncline_buffer_free(&json);
  syncline_event_free(event);
  return info.step;
}

static void steps_are_told_and_carry_values(void) {
  syncline_document *document = new_document();
  syncline_text *text = new_text(document, "n");
  syncline_undo *undo = new_undo(document);
  syncline_queue *queue = new_queue(), *changes = new_queue();
  syncline_subscription *subscription = NULL, *of_document = NULL;
  OK(syncline_undo_subscribe(undo, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_document_subscribe(document, SYNCLINE_OPTIONS(syncline_listener, .queue = changes, .mask = 1 << SYNCLINE_EVENT_CHANGE), &of_document));
  OK(syncline_text_insert(text, 0, S("one")));
  uint64_t first = take_info(queue, true, 1, 0, NULL);
  OK(syncline_text_insert(text, 3, S("!"))); /* joins the step: no event */
  CHECK(syncline_queue_length(queue) == 0);

  syncline_value *meta = NULL, word = string_value("before");
  EXPECT(SYNCLINE_NOT_FOUND, syncline_undo_get_meta(undo, first, &meta));
  CHECK(meta == NULL);
  OK(syncline_undo_set_meta(undo, first, &word));
  OK(syncline_undo_get_meta(undo, first, &meta));
  CHECK(take_value_is(meta, "\"before\""));
  OK(syncline_undo_undo(undo));
  uint64_t popped = take_info(queue, false, 0, 0, "\"before\"");
  uint64_t inverse = take_info(queue, true, 0, 1, "\"before\"");
  CHECK(popped == first && inverse != first);
  OK(syncline_undo_get_meta(undo, inverse, &meta));
  CHECK(take_value_is(meta, "\"before\""));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_undo_get_meta(undo, first, &meta));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_undo_set_meta(undo, first, &word));
  OK(syncline_undo_redo(undo));
  take_info(queue, false, 0, 0, "\"before\"");
  uint64_t again = take_info(queue, true, 1, 0, "\"before\"");
  OK(syncline_undo_set_meta(undo, again, NULL));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_undo_get_meta(undo, again, &meta));
  syncline_origin origins[] = {SYNCLINE_ORIGIN_LOCAL, SYNCLINE_ORIGIN_LOCAL, SYNCLINE_ORIGIN_UNDO, SYNCLINE_ORIGIN_REDO};
  for (int i = 0; i < 4; i++) {
    syncline_event *event = next_event(changes, SYNCLINE_EVENT_CHANGE);
    syncline_change_info info = {.struct_size = sizeof info};
    OK(syncline_event_change(event, &info));
    CHECK(info.origin == origins[i]);
    syncline_event_free(event);
  }

  /* The selection as a stable position: it stays with its neighbour while others edit. */
  syncline_buffer position;
  OK(syncline_text_position_at(text, 3, &position));
  syncline_value bytes = bytes_value(position.data, position.len);
  OK(syncline_undo_set_meta(undo, again, &bytes));
  syncline_buffer_free(&position);
  OK(syncline_text_insert(text, 0, S("> ")));
  OK(syncline_undo_get_meta(undo, again, &meta));
  uint64_t index = 0;
  OK(syncline_text_position_index(text, meta->data.bytes, &index));
  CHECK(index == 5);
  syncline_value_free(meta);
  meta = NULL;
  syncline_value nan = plain_value(SYNCLINE_VALUE_DOUBLE), undefined = plain_value(SYNCLINE_VALUE_UNDEFINED);
  nan.data.number = 0.0 / 0.0;
  INVALID(syncline_undo_set_meta(undo, again, &nan));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_undo_set_meta(undo, again, &undefined));

  /* A step of which nothing is left is told, although it changes nothing. */
  syncline_event_free(next_event(changes, SYNCLINE_EVENT_CHANGE));
  take_info(queue, true, 2, 0, NULL);
  OK(syncline_undo_clear(undo)); /* not told */
  type(undo, text, "x");
  take_info(queue, true, 1, 0, NULL);
  syncline_event_free(next_event(changes, SYNCLINE_EVENT_CHANGE));
  syncline_document *other = new_document();
  copy_changes(document, other);
  syncline_text *theirs = new_text(other, "n");
  OK(syncline_text_remove(theirs, 0, syncline_text_length(theirs)));
  copy_changes(other, document);
  syncline_event_free(next_event(changes, SYNCLINE_EVENT_CHANGE));
  EXPECT(SYNCLINE_UNCHANGED, syncline_undo_undo(undo));
  take_info(queue, false, 0, 0, NULL);
  CHECK(syncline_queue_length(queue) == 0 && syncline_queue_length(changes) == 0);
  syncline_text_free(theirs);
  syncline_document_free(other);

  syncline_undo_free(undo);
  syncline_event_free(next_event(queue, SYNCLINE_EVENT_CLOSED));
  CHECK(!syncline_subscription_is_active(subscription) && syncline_subscription_is_active(of_document));
  syncline_subscription_free(subscription);
  syncline_subscription_free(of_document);
  syncline_queue_free(queue);
  syncline_queue_free(changes);
  syncline_text_free(text);
  syncline_document_free(document);
}

typedef struct watch {
  syncline_undo *undo;
  syncline_subscription *subscription;
  sem_t ready, done;
} watch;

/* Undoes what was typed, then frees everything from inside. */
static void on_step(void *user_data, const syncline_event *event) {
  watch *w = user_data;
  syncline_undo_info info = {.struct_size = sizeof info};
  if (syncline_event_get_type(event) != SYNCLINE_EVENT_UNDO) return;
  OK(syncline_event_undo(event, &info));
  if (info.undo_count == 3) {
    while (syncline_undo_undo(w->undo) == SYNCLINE_OK) continue;
  }
  if (info.redo_count != 3) return;
  sem_wait(&w->ready);
  syncline_subscription_free(w->subscription);
  syncline_undo_free(w->undo);
  sem_post(&w->done);
}

static void callbacks_may_undo_and_free(void) {
  syncline_document *document = new_document();
  syncline_text *text = new_text(document, "n");
  watch w = {.undo = new_undo(document)};
  sem_init(&w.ready, 0, 0);
  sem_init(&w.done, 0, 0);
  OK(syncline_undo_subscribe(w.undo, SYNCLINE_OPTIONS(syncline_listener, .callback = on_step, .user_data = &w), &w.subscription));
  type(w.undo, text, "a");
  type(w.undo, text, "b");
  OK(syncline_undo_stop_capturing(w.undo));
  OK(syncline_text_insert(text, 0, S("c"))); /* the third */
  sem_post(&w.ready);
  sem_wait(&w.done);
  CHECK(text_is(text, ""));
  sem_destroy(&w.ready);
  sem_destroy(&w.done);
  syncline_text_free(text);
  syncline_document_free(document);
}

static syncline_undo *open_persistent(syncline_store *store, syncline_document **out_document) {
  syncline_undo *undo = NULL;
  OK(syncline_store_open_document(store, SYNCLINE_OPTIONS(syncline_document_options, .document_id = S("note")), out_document));
  OK(syncline_undo_new(*out_document, SYNCLINE_OPTIONS(syncline_undo_options, .persistent = true), &undo));
  return undo;
}

static syncline_store *open_store(const char *path) {
  syncline_store *store = NULL;
  OK(syncline_store_open(S(path), NULL, &store));
  return store;
}

/* The part of the process that ends without closing anything. */
static void crash(const char *path) {
  syncline_document *document = NULL;
  syncline_store *store = open_store(path);
  syncline_undo *undo = open_persistent(store, &document);
  syncline_text *text = new_text(document, "n");
  syncline_value word = string_value("selection");
  type(undo, text, "one ");
  type(undo, text, "two ");
  type(undo, text, "three");
  OK(syncline_undo_undo(undo));
  OK(syncline_undo_set_meta(undo, 1, &word));
  OK(syncline_store_flush(store, PATIENCE_MS));
  _exit(0);
}

static void steps_survive_a_crash(const char *path) {
  syncline_document *document = NULL;
  syncline_store *store = open_store(path);
  syncline_undo *undo = open_persistent(store, &document), *second = NULL;
  syncline_text *text = new_text(document, "n");
  CHECK(text_is(text, "one two ") && counts_are(undo, 2, 1));
  /* What is to be undone was written under another peer id. */
  syncline_iterator *it = NULL;
  OK(syncline_document_iterate_changes(document, NULL, &it));
  OK(syncline_iterator_next(it));
  syncline_change *change = NULL;
  OK(syncline_iterator_change(it, &change));
  syncline_peer_id author = syncline_change_author(change), peer = syncline_document_peer_id(document);
  CHECK(memcmp(&author, &peer, sizeof peer) != 0);
  syncline_change_free(change);
  syncline_iterator_free(it);
  syncline_value *meta = NULL;
  OK(syncline_undo_get_meta(undo, 1, &meta));
  CHECK(take_value_is(meta, "\"selection\""));
  EXPECT(SYNCLINE_ERROR_ALREADY_EXISTS, syncline_undo_new(document, SYNCLINE_OPTIONS(syncline_undo_options, .persistent = true), &second));
  CHECK(second == NULL);
  OK(syncline_undo_undo(undo));
  CHECK(text_is(text, "one "));
  OK(syncline_undo_redo(undo));
  OK(syncline_undo_redo(undo));
  CHECK(text_is(text, "one two three"));
  OK(syncline_undo_undo(undo));
  /* Freed in any order: what was last is stored. */
  syncline_undo_free(undo);
  syncline_text_free(text);
  syncline_document_free(document);
  syncline_store_free(store);

  store = open_store(path);
  undo = open_persistent(store, &document);
  CHECK(counts_are(undo, 2, 1));
  syncline_store_free(store); /* the manager keeps both alive */
  syncline_document_free(document);
  OK(syncline_undo_clear(undo));
  syncline_undo_free(undo);
  store = open_store(path);
  undo = open_persistent(store, &document);
  CHECK(counts_are(undo, 0, 0));
  text = new_text(document, "n");
  CHECK(text_is(text, "one two "));
  OK(syncline_document_close(document));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_undo_undo(undo));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_undo_clear(undo));
  CHECK(counts_are(undo, 0, 0));
  syncline_text_free(text);
  syncline_document_free(document);
  syncline_undo_free(undo);
  syncline_store_free(store);

  OK(syncline_store_open(S(path), SYNCLINE_OPTIONS(syncline_store_options, .read_only = true), &store));
  OK(syncline_store_open_document(store, SYNCLINE_OPTIONS(syncline_document_options, .document_id = S("note")), &document));
  EXPECT(SYNCLINE_ERROR_READ_ONLY, syncline_undo_new(document, SYNCLINE_OPTIONS(syncline_undo_options, .persistent = true), &second));
  syncline_document_free(document);
  syncline_store_free(store);
}

static void bad_arguments(void) {
  syncline_document *document = new_document();
  syncline_undo *undo = new_undo(document), *none = NULL;
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  syncline_value one = int_value(1), *meta = NULL;
  syncline_undo_info info = {.struct_size = sizeof info};
  struct { syncline_undo_options known; uint64_t more; } later;
  memset(&later, 0, sizeof later);
  later.known.struct_size = sizeof later;
  later.more = 1;
  INVALID(syncline_undo_new(NULL, NULL, &none));
  INVALID(syncline_undo_new((syncline_document *)undo, NULL, &none));
  INVALID(syncline_undo_new(document, NULL, NULL));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_undo_new(document, &later.known, &none));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_undo_new(document, SYNCLINE_OPTIONS(syncline_undo_options, .persistent = true), &none));
  syncline_undo *wrong[2] = {NULL, (syncline_undo *)document};
  for (int i = 0; i < 2; i++) {
    syncline_undo *u = wrong[i];
    CHECK(counts_are(u, 0, 0));
    INVALID(syncline_undo_add_scope(u, S("n")));
    INVALID(syncline_undo_add_tag(u, no_bytes()));
    INVALID(syncline_undo_remove_tag(u, no_bytes()));
    INVALID(syncline_undo_undo(u));
    INVALID(syncline_undo_redo(u));
    INVALID(syncline_undo_stop_capturing(u));
    INVALID(syncline_undo_clear(u));
    INVALID(syncline_undo_set_meta(u, 0, &one));
    INVALID(syncline_undo_get_meta(u, 0, &meta));
    INVALID(syncline_undo_subscribe(u, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    syncline_undo_free(u);
  }
  INVALID(syncline_undo_add_scope(undo, bad_utf8()));
  INVALID(syncline_undo_add_scope(undo, bad_length()));
  INVALID(syncline_undo_add_tag(undo, bad_bytes()));
  INVALID(syncline_undo_remove_tag(undo, bad_bytes()));
  INVALID(syncline_undo_get_meta(undo, 0, NULL));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_undo_get_meta(undo, UINT64_MAX, &meta));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_undo_set_meta(undo, UINT64_MAX, &one));
  INVALID(syncline_undo_subscribe(undo, NULL, &subscription));
  INVALID(syncline_undo_subscribe(undo, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), NULL));
  INVALID(syncline_event_undo(NULL, &info));
  INVALID(syncline_event_undo((syncline_event *)undo, &info));
  OK(syncline_document_close(document));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_undo_new(document, NULL, &none));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_undo_undo(undo));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_undo_add_scope(undo, S("n")));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_undo_set_meta(undo, 0, &one));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_undo_subscribe(undo, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  CHECK(counts_are(undo, 0, 0) && !none && !meta && !subscription);
  syncline_queue_free(queue);
  syncline_document_free(document);
  syncline_undo_free(undo);
}

int main(void) {
  char path[64];
  snprintf(path, sizeof path, "undo-%d.db", (int)getpid());
  pid_t child = fork(); /* before the library has threads */
  if (child == 0) crash(path);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  steps_survive_a_crash(path);
  unlink(path);
  steps_go_back_and_forth();
  scopes_and_tags_choose();
  steps_are_told_and_carry_values();
  callbacks_may_undo_and_free();
  bad_arguments();
  return finish("undo");
}
