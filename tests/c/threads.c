/* Many threads, one document: edits, transactions, subscriptions that come and go, polling, exchange
 * with a second document, and handles freed by other threads than those that made them.
 *
 * What must hold at the end: both documents are equal, a copy kept up to date by polled change
 * events is equal to the text, sequence numbers have no holes, and no handle is left.
 * Data races: tests/c/tsan.sh.
 *
 * threads [ROUNDS [SEED]] */
#include "check.h"

#include <stdint.h>

enum { EDITORS = 4, LISTENERS = 2, SHELF = 64, TEXT_MAX = 4000, LISTENS_MIN = 50 };

static int rounds = 400;
static uint64_t seed = 1;
static syncline_document *one, *two;
static atomic_bool editing = true;   /* editors and exchange still run */
static atomic_bool listening = true; /* the rest, too */
static atomic_int callbacks, own_frees, user_data_frees, subscriptions;

static uint64_t below(uint64_t *random, uint64_t bound) {
  *random ^= *random << 13, *random ^= *random >> 7, *random ^= *random << 17;
  return (*random >> 11) % bound;
}

static uint64_t random_of(unsigned thread) { return (seed * 1000 + thread + 1) * UINT64_C(0x9E3779B97F4A7C15); }

/* ---- A shelf: handles lie here until another thread frees them ---- */

typedef struct parcel {
  void *handle;
  void (*free)(void *handle);
} parcel;

static pthread_mutex_t shelf_lock = PTHREAD_MUTEX_INITIALIZER;
static parcel shelf[SHELF];
/* A callback takes only from here: freeing a subscription waits for its callback, and two callbacks
 * that do so to each other would wait for ever. */
static parcel event_shelf[SHELF];

static void free_text(void *handle) { syncline_text_free(handle); }
static void free_document(void *handle) { syncline_document_free(handle); }
static void free_event(void *handle) { syncline_event_free(handle); }
static void free_subscription(void *handle) { syncline_subscription_free(handle); }

static void exchange_parcel(parcel *place, parcel new_one) {
  pthread_mutex_lock(&shelf_lock);
  parcel before = *place;
  *place = new_one;
  pthread_mutex_unlock(&shelf_lock);
  if (before.handle) before.free(before.handle);
}

/* Puts a handle on the shelf and frees whatever lay at its place, put there by anybody. */
static void hand_over(uint64_t place, void *handle, void (*free_handle)(void *)) {
  exchange_parcel(&shelf[place % SHELF], (parcel){handle, free_handle});
}

static void hand_over_event(uint64_t place, syncline_event *event) {
  exchange_parcel(&event_shelf[place % SHELF], (parcel){event, free_event});
}

static void clear_shelves(void) {
  for (int place = 0; place < SHELF; place++) {
    exchange_parcel(&shelf[place], (parcel){NULL, NULL});
    exchange_parcel(&event_shelf[place], (parcel){NULL, NULL});
  }
}

/* ---- Editors ---- */

/* Others edit meanwhile, so a position may be gone when it is used: that is no failure. */
static void edit_text(syncline_text *text, uint64_t *random) {
  uint64_t length = syncline_text_length(text);
  syncline_status status;
  if (length > TEXT_MAX || (length > 4 && below(random, 3) == 0)) {
    status = syncline_text_remove(text, below(random, length - 2), 1 + below(random, 2));
  } else {
    static const char *const words[] = {"a", "longer ", "h\xC3\xA9", "\xE2\x82\xAC"};
    status = syncline_text_insert(text, below(random, length + 1), syncline_str(words[below(random, 4)]));
  }
  CHECK(status == SYNCLINE_OK || status == SYNCLINE_ERROR_OUT_OF_RANGE);
}

static void edit_others(syncline_document *document, uint64_t *random) {
  syncline_map *map = new_map(document, "map");
  syncline_set *set = NULL;
  syncline_register *reg = NULL;
  syncline_value number = int_value((int64_t)below(random, 100));
  char key[2] = {(char)('a' + below(random, 5)), 0};
  OK(syncline_document_get_set(document, SYNCLINE_STR("set"), NULL, &set));
  OK(syncline_document_get_register(document, SYNCLINE_STR("register"), NULL, &reg));
  OK(syncline_map_set(map, syncline_str(key), &number));
  OK(syncline_set_insert(set, &number));
  OK(syncline_register_set(reg, &number));
  syncline_register_free(reg);
  syncline_set_free(set);
  syncline_map_free(map);
}

typedef struct body {
  syncline_text *text;
  uint64_t *random;
} body;

static void in_transaction(void *user_data) {
  body *inside = user_data;
  edit_text(inside->text, inside->random);
  edit_text(inside->text, inside->random);
}

static void *editor(void *argument) {
  unsigned number = (unsigned)(uintptr_t)argument;
  uint64_t random = random_of(number);
  for (int round = 0; round < rounds; round++) {
    syncline_document *document = number % 2 ? one : two;
    syncline_text *text = new_text(document, "text");
    body inside = {text, &random};
    switch (below(&random, 6)) {
      case 0:
        OK(syncline_document_begin(document, no_bytes()));
        in_transaction(&inside);
        OK(syncline_document_commit(document));
        break;
      case 1:
        OK(syncline_document_begin(document, no_bytes()));
        in_transaction(&inside);
        OK(syncline_document_rollback(document));
        break;
      case 2:
        OK(syncline_document_transact(document, no_bytes(), in_transaction, &inside));
        break;
      case 3:
        edit_others(document, &random);
        break;
      default:
        edit_text(text, &random);
    }
    hand_over(below(&random, SHELF), text, free_text);
    if (round % 16 == 0) hand_over(below(&random, SHELF), syncline_document_retain(document), free_document);
  }
  return NULL;
}

/* ---- Exchange ---- */

static void send_changes(syncline_document *from, syncline_document *to) {
  syncline_version_vector *seen = NULL;
  syncline_buffer changes = {0};
  OK(syncline_document_version_vector(to, &seen));
  OK(syncline_document_export_changes(from, seen, &changes));
  syncline_status status = syncline_document_import_changes(to, syncline_buffer_bytes(&changes), NULL);
  CHECK(status == SYNCLINE_OK || status == SYNCLINE_UNCHANGED);
  syncline_buffer_free(&changes);
  syncline_version_vector_free(seen);
}

static void *exchange(void *argument) {
  (void)argument;
  while (atomic_load(&editing)) {
    send_changes(one, two);
    send_changes(two, one);
  }
  return NULL;
}

/* ---- Subscriptions that come and go ---- */

typedef struct listener {
  atomic_int references; /* the subscription and the thread that made it */
  atomic_bool ended;
  _Atomic(syncline_subscription *) own; /* whoever takes it out frees it */
} listener;

static void release(listener *l) {
  if (atomic_fetch_sub(&l->references, 1) == 1) free(l);
}

static void free_listener(void *user_data) {
  listener *l = user_data;
  CHECK(!atomic_exchange(&l->ended, true)); /* once */
  atomic_fetch_add(&user_data_frees, 1);
  release(l);
}

static void on_event(void *user_data, const syncline_event *event) {
  listener *l = user_data;
  CHECK(!atomic_load(&l->ended)); /* no callback after the end */
  atomic_fetch_add(&callbacks, 1);
  uint64_t random = syncline_event_sequence(event) + 1;
  if (below(&random, 4) == 0) hand_over_event(random, syncline_event_retain(event));
  syncline_subscription *own = atomic_exchange(&l->own, NULL);
  if (own) {
    atomic_fetch_add(&own_frees, 1);
    syncline_subscription_free(own);
  }
}

static void listen_once(syncline_queue *queue, uint64_t *random) {
  listener *l = calloc(1, sizeof *l);
  syncline_subscription *subscription = NULL;
  CHECK(l);
  atomic_init(&l->references, 2);
  syncline_listener options = {.struct_size = sizeof options, .callback = on_event, .user_data = l,
                               .free_user_data = free_listener};
  options.queue = below(random, 2) ? queue : NULL;
  OK(syncline_document_subscribe(below(random, 2) ? one : two, &options, &subscription));
  atomic_fetch_add(&subscriptions, 1);
  uint64_t end = below(random, 3);
  if (end == 0) {
    atomic_store(&l->own, subscription); /* the callback frees it from inside */
    edit_others(one, random), edit_others(two, random);
    subscription = atomic_exchange(&l->own, NULL);
    syncline_subscription_free(subscription);
  } else if (end == 1) {
    hand_over(below(random, SHELF), subscription, free_subscription);
  } else {
    edit_others(one, random);
    syncline_subscription_free(subscription);
    CHECK(atomic_load(&l->ended));
  }
  release(l);
}

static void *listen(void *argument) {
  uint64_t random = random_of(100 + (unsigned)(uintptr_t)argument);
  syncline_queue *queue = NULL;
  OK(syncline_queue_new(NULL, &queue));
  OK(syncline_queue_start(queue));
  for (int times = 0; times < LISTENS_MIN || atomic_load(&editing); times++) listen_once(queue, &random);
  OK(syncline_queue_stop(queue));
  syncline_queue_free(queue);
  return NULL;
}

/* ---- Polling: a copy of the text of `one`, kept up to date by events alone ---- */

static char mirror[64 * TEXT_MAX];
static size_t mirror_len;
static uint64_t polled;

/* Where the byte at a UTF-16 index of the mirror is. */
static size_t byte_of(uint64_t utf16) {
  size_t at = 0;
  while (utf16 > 0 && at < mirror_len) {
    unsigned char lead = (unsigned char)mirror[at];
    at += lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    utf16 -= lead < 0xF0 ? 1 : 2;
  }
  CHECK(utf16 == 0);
  return at;
}

static void apply(const syncline_text_op *op, uint64_t *at) {
  size_t from = byte_of(*at);
  if (op->kind == SYNCLINE_OP_INSERT) {
    CHECK(mirror_len + op->text.len <= sizeof mirror);
    memmove(mirror + from + op->text.len, mirror + from, mirror_len - from);
    memcpy(mirror + from, op->text.data, op->text.len);
    mirror_len += op->text.len;
    *at += op->length;
    return;
  }
  size_t to = byte_of(*at + op->length);
  if (op->kind == SYNCLINE_OP_RETAIN) {
    *at += op->length;
    return;
  }
  memmove(mirror + from, mirror + to, mirror_len - to);
  mirror_len -= to - from;
}

static void take(syncline_event *event) {
  CHECK(syncline_event_sequence(event) == ++polled);
  CHECK(syncline_event_get_type(event) == SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  for (size_t i = 0; i < info.target_count; i++) {
    uint64_t at = 0;
    for (size_t k = 0; k < info.targets[i].text_op_count; k++) apply(&info.targets[i].text_ops[k], &at);
  }
}

static void *poll_queue(void *argument) {
  syncline_queue *queue = argument;
  while (atomic_load(&listening)) {
    syncline_event *event = NULL;
    syncline_status status = syncline_queue_wait(queue, 20, &event);
    if (status == SYNCLINE_TIMEOUT) continue;
    CHECK(status == SYNCLINE_OK);
    take(event);
    hand_over_event(polled, event);
  }
  for (syncline_event *event = NULL; syncline_queue_poll(queue, &event) == SYNCLINE_OK;) {
    take(event);
    syncline_event_free(event);
  }
  return NULL;
}

/* ---- The whole ---- */

static void compare(const char *id) {
  syncline_buffer left, right;
  syncline_handler *of_one = NULL, *of_two = NULL;
  OK(syncline_document_get_handler(one, S(id), &of_one));
  OK(syncline_document_get_handler(two, S(id), &of_two));
  OK(syncline_handler_to_json(of_one, false, &left));
  OK(syncline_handler_to_json(of_two, false, &right));
  CHECK(left.len == right.len && memcmp(left.data, right.data, left.len) == 0);
  syncline_handler_free(of_one), syncline_handler_free(of_two);
  syncline_buffer_free(&left), syncline_buffer_free(&right);
}

/* Nobody here waits for a deadline: how long a lock is held on a busy machine, one thread at a time under
 * valgrind, is not what is tested. */
static syncline_document *new_patient_document(void) {
  syncline_document *document = NULL;
  OK(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .lock_timeout_ms = 600000), &document));
  return document;
}

static pthread_t start(void *(*run)(void *), uintptr_t argument) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, run, (void *)argument) == 0);
  return thread;
}

int main(int argc, char **argv) {
  if (argc > 1) rounds = atoi(argv[1]);
  if (argc > 2) seed = strtoull(argv[2], NULL, 10);
  fprintf(stderr, "threads: %d rounds, seed %llu\n", rounds, (unsigned long long)seed);
  one = new_patient_document();
  two = new_patient_document();
  syncline_text *text = new_text(one, "text");
  syncline_queue *queue = new_queue();
  syncline_subscription *polling = NULL;
  syncline_listener options = {.struct_size = sizeof options, .queue = queue};
  options.mask = UINT64_C(1) << SYNCLINE_EVENT_CHANGE;
  OK(syncline_text_subscribe(text, &options, &polling));

  pthread_t editors[EDITORS], listeners[LISTENERS];
  pthread_t poller = start(poll_queue, (uintptr_t)queue);
  pthread_t exchanging = start(exchange, 0);
  for (uintptr_t i = 0; i < LISTENERS; i++) listeners[i] = start(listen, i);
  for (uintptr_t i = 0; i < EDITORS; i++) editors[i] = start(editor, i);
  for (int i = 0; i < EDITORS; i++) pthread_join(editors[i], NULL);
  atomic_store(&editing, false);
  pthread_join(exchanging, NULL);
  for (int i = 0; i < LISTENERS; i++) pthread_join(listeners[i], NULL);
  send_changes(one, two);
  send_changes(two, one);
  atomic_store(&listening, false);
  pthread_join(poller, NULL);
  clear_shelves();

  compare("text"), compare("map"), compare("set"), compare("register");
  syncline_buffer content;
  OK(syncline_text_to_string(text, &content));
  CHECK(content.len == mirror_len && memcmp(content.data, mirror, mirror_len) == 0);
  CHECK(atomic_load(&callbacks) > 0 && atomic_load(&own_frees) > 0);
  CHECK(atomic_load(&subscriptions) == atomic_load(&user_data_frees));
  fprintf(stderr, "threads: %zu bytes of text, %llu events polled, %d callbacks, %d subscriptions (%d freed from inside)\n",
          content.len, (unsigned long long)polled, atomic_load(&callbacks), atomic_load(&subscriptions),
          atomic_load(&own_frees));
  syncline_buffer_free(&content);
  syncline_subscription_free(polling);
  syncline_queue_free(queue);
  syncline_text_free(text);
  syncline_document_free(one), syncline_document_free(two);
  return finish("threads");
}
