/* A counter as a handler type of the application: kind 1 adds the byte, kind 2 subtracts it. */
#include "check.h"

typedef struct counter_type {
  syncline_document *document; /* for calls that hooks must not make */
  atomic_int states, frees, applied, reentered;
  bool fail_load, fail_save;
  syncline_document *free_document; /* one that hooks may call although the type was registered there */
} counter_type;

/* Every call into the asking document is refused, at once; others are free. */
static void call_back(counter_type *type) {
  if (!type->document) return;
  syncline_text *text = NULL;
  syncline_subscription *subscription = NULL;
  syncline_document *document = type->document;
  EXPECT(SYNCLINE_ERROR_IN_HOOK, syncline_document_get_text(document, S("t"), NULL, &text));
  EXPECT(SYNCLINE_ERROR_IN_HOOK, syncline_document_begin(document, no_bytes()));
  EXPECT(SYNCLINE_ERROR_IN_HOOK, syncline_document_commit(document));
  EXPECT(SYNCLINE_ERROR_IN_HOOK, syncline_document_rollback(document));
  EXPECT(SYNCLINE_ERROR_IN_HOOK, syncline_document_close(document));
  syncline_listener listener;
  memset(&listener, 0, sizeof listener);
  listener.struct_size = sizeof listener;
  syncline_queue *queue = new_queue();
  listener.queue = queue;
  EXPECT(SYNCLINE_ERROR_IN_HOOK, syncline_document_subscribe(document, &listener, &subscription));
  CHECK(syncline_document_change_count(document) == 0 && !syncline_document_is_closed(document));
  syncline_library_stats stats = {.struct_size = sizeof stats};
  OK(syncline_library_get_stats(&stats));
  syncline_queue_free(queue);
  syncline_document *other = new_document();
  text = new_text(other, "t");
  OK(syncline_text_insert(text, 0, S("free")));
  syncline_text_free(text);
  syncline_document_free(other);
  if (type->free_document) CHECK(syncline_document_change_count(type->free_document) == 2);
  atomic_fetch_add(&type->reentered, 1);
}

static syncline_status load(void *user_data, syncline_bytes snapshot, void **out_state) {
  counter_type *type = (counter_type *)user_data;
  call_back(type);
  if (type->fail_load || (snapshot.len != 0 && snapshot.len != sizeof(int64_t))) {
    syncline_error_set(SYNCLINE_ERROR_CORRUPT, S("not the state of a counter"));
    return SYNCLINE_ERROR_CORRUPT;
  }
  int64_t *state = (int64_t *)calloc(1, sizeof *state);
  CHECK(state);
  if (snapshot.len) memcpy(state, snapshot.data, snapshot.len);
  atomic_fetch_add(&type->states, 1);
  *out_state = state;
  return SYNCLINE_OK;
}

static syncline_status save(void *user_data, void *state, syncline_buffer *out_snapshot) {
  counter_type *type = (counter_type *)user_data;
  call_back(type);
  OK(syncline_buffer_new(B(state, sizeof(int64_t)), out_snapshot));
  return type->fail_save ? SYNCLINE_ERROR_IO : SYNCLINE_OK; /* what was written is freed */
}

static syncline_status apply(void *user_data, void *state, const syncline_custom_operation *operation) {
  counter_type *type = (counter_type *)user_data;
  call_back(type);
  atomic_fetch_add(&type->applied, 1);
  CHECK(operation->struct_size == sizeof *operation);
  if (operation->id) CHECK(syncline_operation_id_clock(operation->id) > 0);
  if (operation->body.len != 1 || operation->kind < 1 || operation->kind > 2) {
    syncline_error_set(SYNCLINE_ERROR_MALFORMED, S("not an operation of a counter"));
    return SYNCLINE_ERROR_MALFORMED;
  }
  *(int64_t *)state += operation->kind == 1 ? operation->body.data[0] : -operation->body.data[0];
  return SYNCLINE_OK;
}

static void drop_state(void *user_data, void *state) {
  counter_type *type = (counter_type *)user_data;
  atomic_fetch_sub(&type->states, 1);
  free(state);
}

static void free_type(void *user_data) { atomic_fetch_add(&((counter_type *)user_data)->frees, 1); }

static syncline_custom_type hooks_of(counter_type *type, const char *name) {
  syncline_custom_type hooks;
  memset(&hooks, 0, sizeof hooks);
  hooks.struct_size = sizeof hooks;
  hooks.type_name = S(name);
  hooks.apply = apply;
  hooks.load = load;
  hooks.save = save;
  hooks.drop = drop_state;
  hooks.user_data = type;
  hooks.free_user_data = free_type;
  return hooks;
}

static void see(void *user_data, const void *state) { *(int64_t *)user_data = *(const int64_t *)state; }

static int64_t count_of(const syncline_custom *custom) {
  int64_t count = -99;
  OK(syncline_custom_read(custom, see, &count));
  return count;
}

static syncline_custom *new_counter(syncline_document *document, const char *id) {
  syncline_custom *custom = NULL;
  OK(syncline_document_get_custom(document, S(id), S("Counter"), &custom));
  return custom;
}

static void check_gone(counter_type *type, int frees) { CHECK(type->states == 0 && type->frees == frees); }

static void two_replicas(void) {
  counter_type type = {0};
  syncline_custom_type hooks = hooks_of(&type, "Counter");
  syncline_document *alice = new_document(), *bob = new_document();
  OK(syncline_document_register_custom_type(alice, &hooks));
  syncline_custom *a = new_counter(alice, "c"), *again = syncline_custom_retain(a);
  CHECK(again == a && count_of(a) == 0);
  OK(syncline_custom_submit(a, 1, B("\5", 1)));
  OK(syncline_custom_submit(a, 2, B("\2", 1)));
  CHECK(count_of(a) == 3);

  /* Unknown types travel through; then the type is registered and the history read. */
  copy_changes(alice, bob);
  CHECK(!syncline_document_has_handler(bob, S("c")));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_document_take_snapshot(bob, 0, NULL)); /* it would lack the counter */
  OK(syncline_document_register_custom_type(bob, &hooks));
  syncline_custom *b = new_counter(bob, "c");
  CHECK(count_of(b) == 3);

  /* Transactions show at once and can be taken back. */
  OK(syncline_document_begin(bob, no_bytes()));
  OK(syncline_custom_submit(b, 1, B("\144", 1)));
  CHECK(count_of(b) == 103);
  OK(syncline_document_rollback(bob));
  CHECK(count_of(b) == 3);
  OK(syncline_document_begin(bob, no_bytes()));
  OK(syncline_custom_submit(b, 1, B("\1", 1)));
  OK(syncline_document_commit(bob));
  OK(syncline_custom_submit(a, 1, B("\12", 1)));
  copy_changes(alice, bob);
  copy_changes(bob, alice);
  CHECK(count_of(a) == 14 && count_of(b) == 14);

  /* What the hook refuses is a change that everybody skips. */
  uint64_t changes = syncline_document_change_count(alice);
  INVALID(syncline_custom_submit(NULL, 3, no_bytes()));
  OK(syncline_custom_submit(a, 3, no_bytes())); /* success leaves the last error as it is */
  CHECK(syncline_error_last()->status == SYNCLINE_ERROR_INVALID_ARGUMENT);
  copy_changes(alice, bob);
  CHECK(syncline_document_change_count(alice) == changes + 1);
  CHECK(count_of(a) == 14 && count_of(b) == 14);

  /* Events carry what save wrote. */
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_custom_subscribe(a, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_custom_submit(a, 1, B("\1", 1)));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 1 && same(info.targets[0].type_name, "Counter") && info.targets[0].map_op_count == 1);
  const syncline_map_op *op = info.targets[0].map_ops;
  CHECK(op->kind == SYNCLINE_OP_UPDATE && op->old_value->data.bytes.data[0] == 14 && op->new_value->data.bytes.data[0] == 15);
  syncline_event_free(event);
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);

  /* Snapshots. */
  syncline_handler *handler = NULL;
  syncline_custom *same_counter = NULL;
  syncline_text *no_text = NULL;
  OK(syncline_custom_as_handler(a, &handler));
  CHECK(syncline_handler_get_kind(handler) == SYNCLINE_HANDLER_CUSTOM);
  OK(syncline_handler_as_custom(handler, &same_counter));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_handler_as_text(handler, &no_text));
  syncline_buffer state;
  OK(syncline_handler_snapshot_state(handler, &state));
  CHECK(state.len == sizeof(int64_t) && state.data[0] == 15);
  syncline_buffer_free(&state);
  syncline_custom_free(same_counter);
  syncline_handler_free(handler);
  syncline_snapshot *snapshot = NULL;
  type.fail_save = true;
  EXPECT(SYNCLINE_ERROR_CALLBACK, syncline_document_take_snapshot(alice, 0, &snapshot));
  CHECK(snapshot == NULL && strstr(syncline_error_last()->message, "SYNCLINE_ERROR_IO") != NULL);
  type.fail_save = false;
  OK(syncline_document_take_snapshot(alice, 0, &snapshot));
  OK(syncline_document_import_snapshot(bob, snapshot, 0));
  CHECK(count_of(b) == 15 && syncline_document_change_count(bob) == 0);
  syncline_snapshot_free(snapshot);

  /* The handler outlives the document's handle; closing ends it. */
  syncline_document_free(bob);
  OK(syncline_custom_submit(b, 1, B("\1", 1)));
  CHECK(count_of(b) == 16);
  OK(syncline_document_close(alice));
  int64_t count = -1;
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_custom_submit(a, 1, B("\1", 1)));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_custom_read(a, see, &count));
  CHECK(count == -1);
  syncline_document_free(alice);
  syncline_custom_free(a);
  syncline_custom_free(again);
  syncline_custom_free(b);
  check_gone(&type, 2);
}

static void read_back(void *user_data, const void *state) {
  (void)state;
  call_back((counter_type *)user_data);
}

static void hooks_are_inside(void) {
  counter_type type = {0};
  syncline_document *document = NULL;
  OK(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .lock_timeout_ms = 60000), &document));
  syncline_custom_type hooks = hooks_of(&type, "Counter");
  OK(syncline_document_register_custom_type(document, &hooks));
  type.document = document;
  syncline_custom *custom = new_counter(document, "c");
  OK(syncline_custom_submit(custom, 1, B("\1", 1)));
  OK(syncline_document_begin(document, no_bytes()));
  OK(syncline_custom_submit(custom, 1, B("\1", 1)));
  OK(syncline_document_commit(document));
  OK(syncline_document_take_snapshot(document, 0, NULL));
  int before = type.reentered;
  OK(syncline_custom_read(custom, read_back, &type));
  CHECK(before > 3 && type.reentered > before);
  CHECK(count_of(custom) == 2); /* outside again */
  syncline_custom_free(custom);
  syncline_document_free(document);
  check_gone(&type, 1);
}

/* A subscription may be freed inside of a hook. */
static syncline_subscription *to_free;

static syncline_status apply_freeing(void *user_data, void *state, const syncline_custom_operation *operation) {
  syncline_subscription_free(to_free);
  to_free = NULL;
  return apply(user_data, state, operation);
}

static void freeing_in_hooks(void) {
  counter_type type = {0};
  syncline_document *document = new_document();
  syncline_custom_type hooks = hooks_of(&type, "Counter");
  hooks.apply = apply_freeing;
  OK(syncline_document_register_custom_type(document, &hooks));
  syncline_custom *custom = new_counter(document, "c");
  syncline_queue *queue = new_queue();
  OK(syncline_custom_subscribe(custom, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &to_free));
  OK(syncline_custom_submit(custom, 1, B("\1", 1)));
  CHECK(to_free == NULL && syncline_queue_length(queue) == 0);
  syncline_subscription *next = NULL;
  OK(syncline_custom_subscribe(custom, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &next));
  OK(syncline_custom_submit(custom, 1, B("\1", 1)));
  syncline_event_free(next_event(queue, SYNCLINE_EVENT_CHANGE));
  CHECK(syncline_queue_length(queue) == 0);
  syncline_subscription_free(next);
  syncline_queue_free(queue);
  syncline_custom_free(custom);
  syncline_document_free(document);
  check_gone(&type, 1);
}

static void failing_loads(void) {
  counter_type type = {0};
  type.fail_load = true;
  syncline_document *document = new_document();
  syncline_custom_type hooks = hooks_of(&type, "Counter");
  OK(syncline_document_register_custom_type(document, &hooks));
  syncline_custom *custom = new_counter(document, "c");
  OK(syncline_custom_submit(custom, 1, B("\7", 1)));
  int64_t count = -1;
  EXPECT(SYNCLINE_ERROR_CALLBACK, syncline_custom_read(custom, see, &count));
  CHECK(count == -1 && strcmp(syncline_error_last()->message, "not the state of a counter") == 0);
  EXPECT(SYNCLINE_ERROR_CALLBACK, syncline_document_take_snapshot(document, 0, NULL));
  type.fail_load = false;
  CHECK(count_of(custom) == 0); /* the operation was skipped */
  OK(syncline_custom_submit(custom, 1, B("\2", 1)));
  CHECK(count_of(custom) == 2);

  /* The same name again: what exists stays as it is, what is made is of the new type. */
  counter_type second = {0};
  hooks = hooks_of(&second, "Counter");
  OK(syncline_document_register_custom_type(document, &hooks));
  CHECK(type.frees == 0);
  syncline_custom *newer = new_counter(document, "d");
  OK(syncline_custom_submit(newer, 1, B("\1", 1)));
  CHECK(second.applied == 1 && second.states == 1);
  counter_type third = {0};
  hooks = hooks_of(&third, "Unused");
  OK(syncline_document_register_custom_type(document, &hooks));
  hooks = hooks_of(&second, "Unused"); /* nobody uses the old one: it goes at once */
  OK(syncline_document_register_custom_type(document, &hooks));
  CHECK(third.frees == 1 && second.frees == 0);
  syncline_custom_free(custom);
  syncline_custom_free(newer);
  syncline_document_free(document);
  check_gone(&type, 1);
  check_gone(&second, 2);
}

static void bad_arguments(void) {
  counter_type type = {0};
  syncline_document *document = new_document(), *bad[2] = {NULL, NULL};
  syncline_text *text = new_text(document, "t");
  bad[1] = (syncline_document *)text;
  syncline_custom_type hooks = hooks_of(&type, "Counter");
  INVALID(syncline_document_register_custom_type(document, NULL));
  for (int i = 0; i < 2; i++) INVALID(syncline_document_register_custom_type(bad[i], &hooks));
  CHECK(type.frees == 2); /* also when the call fails */
  const char *taken[] = {"", "CRDTTextHandler", "CRDTMapHandler<num>"};
  for (int i = 0; i < 3; i++) {
    hooks.type_name = S(taken[i]);
    INVALID(syncline_document_register_custom_type(document, &hooks));
  }
  hooks.type_name = bad_utf8();
  INVALID(syncline_document_register_custom_type(document, &hooks));
  hooks = hooks_of(&type, "Counter");
  hooks.apply = NULL;
  INVALID(syncline_document_register_custom_type(document, &hooks));
  hooks = hooks_of(&type, "Counter");
  hooks.load = NULL;
  INVALID(syncline_document_register_custom_type(document, &hooks));
  hooks = hooks_of(&type, "Counter");
  hooks.save = NULL;
  INVALID(syncline_document_register_custom_type(document, &hooks));
  CHECK(type.frees == 9);
  hooks = hooks_of(&type, "Counter");
  hooks.struct_size = 0;
  INVALID(syncline_document_register_custom_type(document, &hooks));
  CHECK(type.frees == 9); /* nothing of it was read */

  syncline_custom *none = NULL;
  INVALID(syncline_document_get_custom(document, S("c"), S("Counter"), &none)); /* nobody registered it */
  hooks = hooks_of(&type, "Counter");
  OK(syncline_document_register_custom_type(document, &hooks));
  syncline_custom *custom = new_counter(document, "c");
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_document_get_custom(document, S("t"), S("Counter"), &none));
  INVALID(syncline_document_get_custom(document, bad_utf8(), S("Counter"), &none));
  INVALID(syncline_document_get_custom(document, S("c"), bad_utf8(), &none));
  INVALID(syncline_document_get_custom(document, S("c"), S("Counter"), NULL));
  syncline_handler *handler = NULL;
  syncline_subscription *subscription = NULL;
  syncline_queue *queue = new_queue();
  int64_t count = -1;
  syncline_custom *wrong[2] = {NULL, (syncline_custom *)document};
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_document_get_custom(bad[i], S("c"), S("Counter"), &none));
    CHECK(syncline_custom_retain(wrong[i]) == NULL);
    INVALID(syncline_custom_as_handler(wrong[i], &handler));
    INVALID(syncline_custom_subscribe(wrong[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_custom_submit(wrong[i], 1, no_bytes()));
    INVALID(syncline_custom_read(wrong[i], see, &count));
    INVALID(syncline_handler_as_custom((syncline_handler *)wrong[i], &none));
    syncline_custom_free(wrong[i]);
  }
  INVALID(syncline_custom_as_handler(custom, NULL));
  INVALID(syncline_custom_subscribe(custom, NULL, &subscription));
  INVALID(syncline_custom_submit(custom, 1, bad_bytes()));
  INVALID(syncline_custom_read(custom, NULL, NULL));
  CHECK(!none && !handler && !subscription && count == -1);
  syncline_queue_free(queue);
  syncline_custom_free(custom);
  syncline_text_free(text);
  syncline_document_free(document);
  check_gone(&type, 10);
}

/* The hooks of a history's view run inside of the view, not of the document it was made of. */
static void hooks_of_a_view(void) {
  counter_type type = {0};
  syncline_custom_type hooks = hooks_of(&type, "Counter");
  syncline_document *document = new_document(), *view = NULL, *copy = NULL;
  OK(syncline_document_register_custom_type(document, &hooks));
  syncline_custom *counter = new_counter(document, "c");
  OK(syncline_custom_submit(counter, 1, B("\5", 1)));
  OK(syncline_custom_submit(counter, 1, B("\2", 1)));
  syncline_history *history = NULL;
  OK(syncline_history_new(document, &history));
  OK(syncline_history_document(history, &view));
  syncline_custom *shown = new_counter(view, "c");
  type.free_document = document;
  type.document = view;
  OK(syncline_history_jump(history, 1));
  CHECK(count_of(shown) == 5 && type.reentered > 0);
  type.reentered = 0;
  OK(syncline_custom_read(shown, read_back, &type));
  CHECK(type.reentered == 1);
  /* An editable copy is inside of itself, too. */
  type.document = NULL;
  OK(syncline_history_fork(history, NULL, &copy));
  syncline_custom *copied = new_counter(copy, "c");
  type.document = copy;
  OK(syncline_custom_submit(copied, 1, B("\1", 1)));
  CHECK(count_of(copied) == 6 && type.reentered > 1);
  type.document = NULL;
  syncline_custom_free(copied);
  syncline_custom_free(shown);
  syncline_custom_free(counter);
  syncline_document_free(copy);
  syncline_document_free(view);
  syncline_history_free(history);
  syncline_document_free(document);
  check_gone(&type, 1);
}

/* Operations that commute are applied as they come; others are replayed when one comes late. */
static void any_order(void) {
  for (int independent = 0; independent < 2; independent++) {
    counter_type type = {0}, other = {0};
    syncline_custom_type hooks = hooks_of(&type, "Counter"), others = hooks_of(&other, "Counter");
    hooks.order_independent = independent != 0;
    syncline_document *alice = new_document(), *bob = new_document();
    OK(syncline_document_register_custom_type(alice, &hooks));
    OK(syncline_document_register_custom_type(bob, &others));
    syncline_custom *a = new_counter(alice, "c"), *b = new_counter(bob, "c");
    OK(syncline_custom_submit(b, 1, B("\1", 1)));
    struct timespec pause = {.tv_nsec = 5000000};
    nanosleep(&pause, NULL); /* alice's clocks are larger */
    for (int i = 0; i < 3; i++) OK(syncline_custom_submit(a, 1, B("\12", 1)));
    int applied = type.applied;
    copy_changes(bob, alice);
    CHECK(count_of(a) == 31);
    CHECK(type.applied == applied + (independent ? 1 : 5));
    syncline_custom_free(a);
    syncline_custom_free(b);
    syncline_document_free(alice);
    syncline_document_free(bob);
    check_gone(&type, 1);
  }
}

int main(void) {
  two_replicas();
  hooks_of_a_view();
  any_order();
  hooks_are_inside();
  freeing_in_hooks();
  failing_loads();
  bad_arguments();
  return finish("custom");
}
