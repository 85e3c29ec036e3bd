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
} slot;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static slot slots[SLOTS];
static syncline_queue *queues[2];
static syncline_store *store;
static atomic_int callbacks, given, taken_back;

static uint32_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

/* No call may end like this, whatever came before it. */
static syncline_status checked(syncline_status status) {
  CHECK(status != SYNCLINE_ERROR_INTERNAL && status != SYNCLINE_ERROR_POISONED);
  return status;
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
  return made;
}

static slot retain_slot(const slot *of) {
  slot own = {syncline_document_retain(of->document), syncline_text_retain(of->text),
              syncline_map_retain(of->map), syncline_set_retain(of->set)};
  return own;
}

static void free_slot(slot *s, uint64_t *random) {
  if (next_random(random) % 2) syncline_document_free(s->document), s->document = NULL;
  syncline_text_free(s->text);
  syncline_map_free(s->map);
  syncline_set_free(s->set);
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

static void free_user(void *user_data) {
  (void)user_data;
  atomic_fetch_add(&taken_back, 1);
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

static void step(uint64_t *random, syncline_subscription **subscriptions, size_t count) {
  slot s = borrow(random);
  syncline_value value = int_value(next_random(random) % 5);
  syncline_buffer out = {0};
  uint64_t index = next_random(random) % (syncline_text_length(s.text) + 2);
  size_t which = next_random(random) % count;
  switch (next_random(random) % 18) {
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
      listener.user_data = s.text;
      listener.free_user_data = free_user;
      syncline_subscription *made = NULL;
      atomic_fetch_add(&given, 1);
      if (target & 64) checked(syncline_document_subscribe(s.document, &listener, &made));
      else if (target & 128) checked(syncline_map_subscribe(s.map, &listener, &made));
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
  for (int i = 0; i < STEPS; i++) step(&random, subscriptions, 6);
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
    if (stats.live_handles != 0 || given != taken_back) {
      fprintf(stderr, "seed %llu: %llu handles left, %d user data given, %d back\n", (unsigned long long)seed,
              (unsigned long long)stats.live_handles, (int)given, (int)taken_back);
      return 1;
    }
  }
  CHECK(callbacks > 0);
  return finish("random_calls");
}
