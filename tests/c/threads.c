/* Many threads, one document: edits, transactions, subscriptions that come and go, polling, exchange
 * with a second document, and handles freed by other threads than those that made them.
 *
 * What must hold at the end: both documents are equal, a copy kept up to date by polled change
 * events is equal to the text, sequence numbers have no holes, and no handle is left.
 *
 * threads [ROUNDS [SEED]] */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syncline.h>

enum { EDITORS = 4, LISTENERS = 2, SHELF = 64, WAIT_MS = 60000, TEXT_MAX = 4000 };

static int rounds = 300;
static uint64_t seed = 1;
static syncline_document *one, *two;
static atomic_bool editing = true;   /* editors and exchange still run */
static atomic_bool listening = true; /* the rest, too */
static atomic_uint_fast64_t callbacks, own_frees, user_data_frees, subscriptions;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("threads: ", stderr);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, " (seed %" PRIu64 ")\n", seed);
  va_end(arguments);
  exit(1);
}

#define OK(call) ok((call), #call, __LINE__)
static syncline_status ok(syncline_status status, const char *call, int line) {
  if (status < 0) {
    fail("line %d: %s: %s: %s", line, call, syncline_status_name(status), syncline_error_last()->message);
  }
  return status;
}

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

static void free_text(void *handle) { syncline_text_free(handle); }
static void free_document(void *handle) { syncline_document_free(handle); }
static void free_event(void *handle) { syncline_event_free(handle); }
static void free_subscription(void *handle) { syncline_subscription_free(handle); }

/* Puts a handle on the shelf and frees whatever lay at its place, put there by anybody. */
static void hand_over(uint64_t place, void *handle, void (*free_handle)(void *)) {
  pthread_mutex_lock(&shelf_lock);
  parcel before = shelf[place % SHELF];
  shelf[place % SHELF] = (parcel){handle, free_handle};
  pthread_mutex_unlock(&shelf_lock);
  if (before.handle) before.free(before.handle);
}

static void clear_shelf(void) {
  for (uint64_t place = 0; place < SHELF; place++) hand_over(place, NULL, NULL);
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
  if (status != SYNCLINE_ERROR_OUT_OF_RANGE) OK(status);
}

static void edit_others(syncline_document *document, uint64_t *random) {
  syncline_map *map = NULL;
  syncline_set *set = NULL;
  syncline_register *reg = NULL;
  syncline_value number = {.type = SYNCLINE_VALUE_INT};
  char key[2] = {(char)('a' + below(random, 5)), 0};
  number.data.integer = (int64_t)below(random, 100);
  OK(syncline_document_get_map(document, SYNCLINE_STR("map"), NULL, &map));
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
    syncline_text *text = NULL;
    OK(syncline_document_get_text(document, SYNCLINE_STR("text"), NULL, &text));
    body inside = {text, &random};
    switch (below(&random, 6)) {
      case 0:
        OK(syncline_document_begin(document, (syncline_bytes){0}));
        in_transaction(&inside);
        OK(syncline_document_commit(document));
        break;
      case 1:
        OK(syncline_document_begin(document, (syncline_bytes){0}));
        in_transaction(&inside);
        OK(syncline_document_rollback(document));
        break;
      case 2:
        OK(syncline_document_transact(document, (syncline_bytes){0}, in_transaction, &inside));
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
  OK(syncline_document_import_changes(to, syncline_buffer_bytes(&changes), NULL));
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
  if (atomic_exchange(&l->ended, true)) fail("user data was freed twice");
  atomic_fetch_add(&user_data_frees, 1);
  release(l);
}

static void on_event(void *user_data, const syncline_event *event) {
  listener *l = user_data;
  if (atomic_load(&l->ended)) fail("a callback came after the end of its subscription");
  atomic_fetch_add(&callbacks, 1);
  uint64_t random = syncline_event_sequence(event) + 1;
  if (below(&random, 4) == 0) hand_over(random, syncline_event_retain(event), free_event);
  syncline_subscription *own = atomic_exchange(&l->own, NULL);
  if (own) {
    atomic_fetch_add(&own_frees, 1);
    syncline_subscription_free(own);
  }
}

static void listen_once(syncline_queue *queue, uint64_t *random) {
  listener *l = calloc(1, sizeof *l);
  syncline_subscription *subscription = NULL;
  if (!l) fail("no memory");
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
    if (!atomic_load(&l->ended)) fail("the subscription is freed, its user data is not");
  }
  release(l);
}

static void *listen(void *argument) {
  uint64_t random = random_of(100 + (unsigned)(uintptr_t)argument);
  syncline_queue *queue = NULL;
  OK(syncline_queue_new(NULL, &queue));
  OK(syncline_queue_start(queue));
  while (atomic_load(&editing)) listen_once(queue, &random);
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
  if (utf16 > 0) fail("a change event reaches past the end of the text");
  return at;
}

static void apply(const syncline_text_op *op, uint64_t *at) {
  size_t from = byte_of(*at);
  if (op->kind == SYNCLINE_OP_INSERT) {
    if (mirror_len + op->text.len > sizeof mirror) fail("the text grew too long");
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
  if (syncline_event_sequence(event) != ++polled) fail("event %" PRIu64 " is missing", polled);
  if (syncline_event_get_type(event) != SYNCLINE_EVENT_CHANGE) fail("not a change event");
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
    syncline_status status = OK(syncline_queue_wait(queue, 20, &event));
    if (status != SYNCLINE_OK) continue;
    take(event);
    hand_over(polled, event, free_event);
  }
  for (syncline_event *event = NULL; OK(syncline_queue_poll(queue, &event)) == SYNCLINE_OK;) {
    take(event);
    syncline_event_free(event);
  }
  return NULL;
}

/* ---- The whole ---- */

static void compare(syncline_document *a, syncline_document *b, const char *id) {
  static const char *const kinds[] = {"text", "map", "set", "register"};
  syncline_buffer left = {0}, right = {0};
  syncline_handler *of_a = NULL, *of_b = NULL;
  OK(syncline_document_get_handler(a, syncline_str(id), &of_a));
  OK(syncline_document_get_handler(b, syncline_str(id), &of_b));
  OK(syncline_handler_snapshot_state(of_a, &left));
  OK(syncline_handler_snapshot_state(of_b, &right));
  (void)kinds;
  if (left.len != right.len || memcmp(left.data, right.data, left.len) != 0) fail("the documents differ in \"%s\"", id);
  syncline_handler_free(of_a), syncline_handler_free(of_b);
  syncline_buffer_free(&left), syncline_buffer_free(&right);
}

static void check_end(syncline_text *text) {
  send_changes(one, two);
  send_changes(two, one);
}
