/* Random functions on live, closed and shared handles, from several threads. Any status is fine but
 * those that mean a bug; at the end every handle was freed. The argument is the first seed. */
#include "check.h"

#include <time.h>

enum { THREADS = 4, SLOTS = 5, SEEDS = 6, STEPS = 600 };

/* One document with its parts. Whoever uses a part takes a handle of its own first. */
typedef struct {
  syncline_document *document;
  syncline_text *text;
  syncline_map *map;
  syncline_set *set;
  syncline_list *list;
  syncline_map *tree;
  syncline_custom *custom;
} slot;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static slot slots[SLOTS];
static syncline_queue *queues[2];
static syncline_store *store;
static atomic_int callbacks, given, taken_back, folded;

static uint32_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

/* No call may end like this, whatever came before it. */
static syncline_status checked(syncline_status status) {
  CHECK(status != SYNCLINE_ERROR_INTERNAL && status != SYNCLINE_ERROR_POISONED);
  return status;
}

static void free_user(void *user_data) {
  (void)user_data;
  atomic_fetch_add(&taken_back, 1);
}

/* A custom type that counts its operations and refuses some. */

static syncline_status apply(void *user_data, void *state, const syncline_custom_operation *operation) {
  (void)user_data;
  if (operation->kind == 0) return SYNCLINE_ERROR_MALFORMED;
  ++*(uint64_t *)state;
  return SYNCLINE_OK;
}

static syncline_status load(void *user_data, syncline_bytes snapshot, void **out_state) {
  (void)user_data;
  if (snapshot.len && snapshot.len != sizeof(uint64_t)) return SYNCLINE_ERROR_CORRUPT;
  *out_state = calloc(1, sizeof(uint64_t));
  CHECK(*out_state);
  if (snapshot.len) memcpy(*out_state, snapshot.data, snapshot.len);
  atomic_fetch_add(&folded, 1);
  return SYNCLINE_OK;
}

static syncline_status save(void *user_data, void *state, syncline_buffer *out_snapshot) {
  (void)user_data;
  return syncline_buffer_new(B(state, sizeof(uint64_t)), out_snapshot);
}

static void drop_state(void *user_data, void *state) {
  (void)user_data;
  atomic_fetch_sub(&folded, 1);
  free(state);
}

static void read_state(void *user_data, const void *state) { *(uint64_t *)user_data = *(const uint64_t *)state; }

static void register_counter(syncline_document *document) {
  syncline_custom_type type;
  memset(&type, 0, sizeof type);
  type.struct_size = sizeof type;
  type.type_name = S("Counter");
  type.apply = apply;
  type.load = load;
  type.save = save;
  type.drop = drop_state;
  type.free_user_data = free_user;
  atomic_fetch_add(&given, 1);
  checked(syncline_document_register_custom_type(document, &type));
}

static slot make_slot(uint64_t *random) {
  slot made = {0};
  syncline_document_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.text_unit = (syncline_text_unit)(next_random(random) % 3);
  options.lock_timeout_ms = 200;
  if (next_random(random) % 3 == 0) {
    checked(syncline_store_open_document(store, &options, &made.document));
  } else {
    checked(syncline_document_new(&options, &made.document));
  }
  OK(syncline_document_get_text(made.document, S("t"), NULL, &made.text));
  OK(syncline_document_get_map(made.document, S("m"), NULL, &made.map));
  OK(syncline_document_get_set(made.document, S("s"), NULL, &made.set));
  made.list = new_list(made.document, "l", SYNCLINE_HANDLER_MOVABLE_LIST);
  made.tree = new_map_of(made.document, "tree", SYNCLINE_HANDLER_MAP_REF);
  register_counter(made.document);
  OK(syncline_document_get_custom(made.document, S("c"), S("Counter"), &made.custom));
  return made;
}

static slot retain_slot(const slot *of) {
  slot own = {syncline_document_retain(of->document), syncline_text_retain(of->text),
              syncline_map_retain(of->map), syncline_set_retain(of->set),
              syncline_list_retain(of->list), syncline_map_retain(of->tree), syncline_custom_retain(of->custom)};
  return own;
}

static void free_slot(slot *s, uint64_t *random) {
  if (next_random(random) % 2) syncline_document_free(s->document), s->document = NULL;
  syncline_text_free(s->text);
  syncline_map_free(s->map);
  syncline_set_free(s->set);
  syncline_list_free(s->list);
  syncline_map_free(s->tree);
  syncline_custom_free(s->custom);
  syncline_document_free(s->document);
}

static slot borrow(uint64_t *random) {
  pthread_mutex_lock(&lock);
  slot own = retain_slot(&slots[next_random(random) % SLOTS]);
  pthread_mutex_unlock(&lock);
  return own;
}

static void replace(uint64_t *random) {
  slot made = make_slot(random);
  pthread_mutex_lock(&lock);
  slot *place = &slots[next_random(random) % SLOTS];
  slot old = *place;
  *place = made;
  pthread_mutex_unlock(&lock);
  if (next_random(random) % 2) checked(syncline_document_close(old.document));
  free_slot(&old, random);
}

static void on_event(void *user_data, const syncline_event *event) {
  atomic_fetch_add(&callbacks, 1);
  syncline_text *text = (syncline_text *)user_data;
  (void)text;
  syncline_event *kept = syncline_event_retain(event);
  syncline_change_info info = {.struct_size = sizeof info};
  if (syncline_event_change(kept, &info) == SYNCLINE_OK) CHECK(info.target_count > 0);
  syncline_event_free(kept);
}

static void body(void *user_data) {
  slot *s = (slot *)user_data;
  checked(syncline_text_insert(s->text, 0, S("in ")));
  checked(syncline_map_remove(s->map, S("k")));
}

static void exchange(slot *from, slot *to) {
  syncline_buffer changes = {0};
  syncline_version_vector *seen = NULL;
  if (checked(syncline_document_version_vector(to->document, &seen)) == SYNCLINE_OK &&
      checked(syncline_document_export_changes(from->document, seen, &changes)) == SYNCLINE_OK) {
    checked(syncline_document_import_changes(to->document, syncline_buffer_bytes(&changes), NULL));
  }
  syncline_buffer_free(&changes);
  syncline_version_vector_free(seen);
}

static void edit_list(slot *s, uint64_t *random, const syncline_value *value) {
  uint64_t length = syncline_list_length(s->list), at = next_random(random) % (length + 2);
  syncline_value *whole = NULL;
  syncline_iterator *it = NULL;
  switch (next_random(random) % 6) {
    case 0: checked(syncline_list_push(s->list, value, 1)); break;
    case 1: checked(syncline_list_insert(s->list, at, value, 1)); break;
    case 2: checked(syncline_list_remove(s->list, at, next_random(random) % 3)); break;
    case 3: checked(syncline_list_update(s->list, at, value)); break;
    case 4: checked(syncline_list_move(s->list, at, next_random(random) % (length + 1))); break;
    default:
      checked(syncline_list_to_value(s->list, true, &whole));
      checked(syncline_list_iterate_conflicts(s->list, at, &it));
      break;
  }
  syncline_value_free(whole);
  syncline_iterator_free(it);
}

/* Circles and references to what is not there are welcome. */
static void edit_tree(slot *s, uint64_t *random) {
  const char *const ids[] = {"t", "tree", "l", "new", "nobody"};
  uint32_t which = next_random(random) % 5;
  syncline_value ref = ref_value(ids[which], which == 4 ? "Unknown" : "CRDTMapRefHandler");
  syncline_handler *child = NULL;
  syncline_buffer out = {0};
  switch (next_random(random) % 5) {
    case 0: checked(syncline_map_set(s->tree, S(ids[which]), &ref)); break;
    case 1: checked(syncline_map_get_ref(s->tree, S(ids[which]), &child)); break;
    case 2: checked(syncline_map_remove(s->tree, S(ids[which]))); break;
    case 3:
      if (checked(syncline_document_resolve(s->document, S("new"), S("CRDTMapRefHandler"), &child)) == SYNCLINE_OK)
        checked(syncline_map_set_ref(s->tree, S("child"), child));
      break;
    default: {
      syncline_snapshot *snapshot = NULL;
      syncline_status status = syncline_document_last_snapshot(s->document, &snapshot);
      slot other = borrow(random);
      if (checked(status) == SYNCLINE_OK) checked(syncline_document_merge_snapshot(other.document, snapshot, SYNCLINE_SNAPSHOT_KEEP_HISTORY));
      checked(syncline_document_reconstruct(other.document));
      syncline_snapshot_free(snapshot);
      free_slot(&other, random);
      break;
    }
  }
  syncline_buffer_free(&out);
  syncline_handler_free(child);
}

/* One undo manager per thread, now of this document, now of that one. */
static void use_undo(slot *s, uint64_t *random, syncline_undo **undo) {
  uint64_t number = next_random(random) % 8;
  syncline_value value = int_value(7), *meta = NULL;
  switch (next_random(random) % 8) {
    case 0:
    case 1: checked(syncline_undo_undo(*undo)); break;
    case 2: checked(syncline_undo_redo(*undo)); break;
    case 3: checked(syncline_undo_set_meta(*undo, number, &value)); break;
    case 4: checked(syncline_undo_get_meta(*undo, number, &meta)); break;
    case 5: checked(number ? syncline_undo_stop_capturing(*undo) : syncline_undo_clear(*undo)); break;
    default: {
      syncline_undo_options options;
      memset(&options, 0, sizeof options);
      options.struct_size = sizeof options;
      options.capture_timeout_ms = 1;
      options.persistent = number % 2;
      syncline_undo_free(*undo);
      *undo = NULL;
      checked(syncline_undo_new(s->document, &options, undo));
      break;
    }
  }
  syncline_value_free(meta);
}

/* Walks through a history that another slot may show from then on. */
static void travel(slot *s, uint64_t *random) {
  syncline_history *history = NULL;
  syncline_document *view = NULL;
  syncline_event *event = NULL;
  syncline_version_vector *version = NULL;
  if (checked(syncline_history_new(s->document, &history)) == SYNCLINE_OK) {
    uint64_t length = syncline_history_length(history);
    for (int i = 0; i < 4; i++) {
      checked(syncline_history_jump(history, next_random(random) % (length + 2)));
      checked(syncline_history_previous(history));
    }
    checked(next_random(random) % 2 ? syncline_history_document(history, &view) : syncline_history_fork(history, NULL, &view));
    checked(syncline_document_version_vector(view, &version));
  }
  syncline_history_free(history);
  if (checked(syncline_document_diff(s->document, version, NULL, &event)) == SYNCLINE_OK) syncline_event_free(event);
  if (view) {
    syncline_text *text = NULL;
    if (checked(syncline_document_get_text(view, S("t"), NULL, &text)) == SYNCLINE_OK) checked(syncline_text_insert(text, 0, S("v")));
    syncline_text_free(text);
  }
  syncline_version_vector_free(version);
  syncline_document_free(view);
}

static void step(uint64_t *random, syncline_subscription **subscriptions, size_t count, syncline_undo **undo) {
  slot s = borrow(random);
  syncline_value value = int_value(next_random(random) % 5);
  syncline_buffer out = {0};
  uint64_t index = next_random(random) % (syncline_text_length(s.text) + 2);
  size_t which = next_random(random) % count;
  switch (next_random(random) % 25) {
    case 0: checked(syncline_text_insert(s.text, index, S("\xc3\xa9\xf0\x9f\x98\x80" "b"))); break;
    case 1: checked(syncline_text_remove(s.text, index, next_random(random) % 4)); break;
    case 2: checked(syncline_text_splice(s.text, index, 1, S("xyz"))); break;
    case 3: checked(syncline_text_set_string(s.text, S("a fresh text"))); break;
    case 4: checked(syncline_map_set(s.map, S("k"), &value)); break;
    case 5: checked(syncline_set_insert(s.set, &value)); break;
    case 6: checked(syncline_set_remove(s.set, &value)); break;
    case 7:
      if (checked(syncline_document_begin(s.document, no_bytes())) == SYNCLINE_OK) {
        checked(syncline_text_insert(s.text, 0, S("t")));
        if (next_random(random) % 2) checked(syncline_document_commit(s.document));
        else checked(syncline_document_rollback(s.document));
      }
      break;
    case 8: checked(syncline_document_transact(s.document, B("t", 1), body, &s)); break;
    case 9: {
      slot other = borrow(random);
      exchange(&s, &other);
      free_slot(&other, random);
      break;
    }
    case 10:
    case 11: {
      syncline_listener listener;
      memset(&listener, 0, sizeof listener);
      listener.struct_size = sizeof listener;
      uint32_t target = next_random(random);
      listener.queue = target % 3 == 0 ? NULL : queues[target % 2];
      listener.callback = on_event;
      listener.deep = target & 2048;
      listener.user_data = s.text;
      listener.free_user_data = free_user;
      syncline_subscription *made = NULL;
      atomic_fetch_add(&given, 1);
      if (target & 64) checked(syncline_document_subscribe(s.document, &listener, &made));
      else if (target & 128) checked(syncline_map_subscribe(target & 256 ? s.map : s.tree, &listener, &made));
      else if (target & 512) checked(syncline_custom_subscribe(s.custom, &listener, &made));
      else if (target & 1024) checked(syncline_list_subscribe(s.list, &listener, &made));
      else if (target & 4096) checked(syncline_undo_subscribe(*undo, &listener, &made));
      else checked(syncline_text_subscribe(s.text, &listener, &made));
      syncline_subscription_free(subscriptions[which]);
      subscriptions[which] = made;
      break;
    }
    case 12:
      syncline_subscription_free(subscriptions[which]);
      subscriptions[which] = NULL;
      break;
    case 13: {
      syncline_event *event = NULL;
      if (syncline_queue_poll(queues[0], &event) == SYNCLINE_OK) {
        OK(syncline_event_to_json(event, &out));
        syncline_event_free(event);
      }
      break;
    }
    case 14: OK(syncline_queue_dispatch(queues[1], 5, NULL)); break;
    case 15: {
      syncline_iterator *it = NULL;
      if (checked(syncline_document_iterate_changes(s.document, NULL, &it)) == SYNCLINE_OK) {
        while (syncline_iterator_next(it) == SYNCLINE_OK) CHECK(syncline_iterator_bytes(it).len > 0);
      }
      syncline_iterator_free(it);
      checked(syncline_document_to_json(s.document, &out));
      break;
    }
    case 16:
      if (next_random(random) % 4 == 0) checked(syncline_document_take_snapshot(s.document, 0, NULL));
      else checked(syncline_text_to_string(s.text, &out));
      break;
    case 17:
    case 18: edit_list(&s, random, &value); break;
    case 19: edit_tree(&s, random); break;
    case 20: {
      uint64_t count = 0;
      if (next_random(random) % 20 == 0) register_counter(s.document);
      checked(syncline_custom_submit(s.custom, (uint8_t)(next_random(random) % 3), B("x", 1)));
      checked(syncline_custom_read(s.custom, read_state, &count));
      break;
    }
    case 21:
    case 22: use_undo(&s, random, undo); break;
    case 23:
      if (next_random(random) % 4 == 0) travel(&s, random);
      break;
    default:
      if (next_random(random) % 3 == 0) replace(random);
      break;
  }
  syncline_buffer_free(&out);
  free_slot(&s, random);
}

static void *run(void *argument) {
  uint64_t random = *(uint64_t *)argument;
  syncline_subscription *subscriptions[6] = {0};
  syncline_undo *undo = NULL;
  for (int i = 0; i < STEPS; i++) step(&random, subscriptions, 6, &undo);
  syncline_undo_free(undo);
  for (int i = 0; i < 6; i++) syncline_subscription_free(subscriptions[i]);
  return NULL;
}

int main(int argc, char **argv) {
  uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  for (uint64_t seed = first; seed < first + SEEDS; seed++) {
    uint64_t random = seed, states[THREADS];
    pthread_t threads[THREADS];
    OK(syncline_store_new_memory(&store));
    for (int i = 0; i < 2; i++) queues[i] = new_queue();
    for (int i = 0; i < SLOTS; i++) slots[i] = make_slot(&random);
    for (int i = 0; i < THREADS; i++) {
      states[i] = seed * 1000 + (uint64_t)i;
      CHECK(pthread_create(&threads[i], NULL, run, &states[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < SLOTS; i++) free_slot(&slots[i], &random);
    for (int i = 0; i < 2; i++) syncline_queue_free(queues[i]);
    syncline_store_free(store);
    OK(syncline_library_shutdown(PATIENCE_MS));
    syncline_library_stats stats = {.struct_size = sizeof stats};
    OK(syncline_library_get_stats(&stats));
    if (stats.live_handles != 0 || given != taken_back || folded != 0) {
      fprintf(stderr, "seed %llu: %llu handles left, %d user data given, %d back, %d states\n", (unsigned long long)seed,
              (unsigned long long)stats.live_handles, (int)given, (int)taken_back, (int)folded);
      return 1;
    }
  }
  CHECK(callbacks > 0);
  return finish("random_calls");
}
