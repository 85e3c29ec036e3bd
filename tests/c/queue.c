#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static syncline_document *document;
static syncline_text *text;

static void type_one(void) { OK(syncline_text_insert(text, 0, S("x"))); }

static syncline_subscription *subscribe_to(syncline_queue *queue, syncline_event_fn callback,
                                           void *user_data, syncline_free_fn free_user_data) {
  syncline_subscription *subscription = NULL;
  OK(syncline_text_subscribe(text,
                             SYNCLINE_OPTIONS(syncline_listener, .queue = queue,
                                              .callback = callback, .user_data = user_data,
                                              .free_user_data = free_user_data),
                             &subscription));
  return subscription;
}

static bool is_readable(intptr_t fd) {
  struct pollfd poll_fd = {.fd = (int)fd, .events = POLLIN};
  return poll(&poll_fd, 1, 0) == 1;
}

static void count_call(void *user_data) { atomic_fetch_add((atomic_int *)user_data, 1); }

static void count_event(void *user_data, const syncline_event *event) {
  CHECK(syncline_event_user_data(event) == user_data);
  atomic_fetch_add((atomic_int *)user_data, 1);
}

static void poll_and_wait(void) {
  syncline_queue *queue = new_queue();
  syncline_event *event = NULL;
  int user;
  syncline_subscription *subscription = subscribe_to(queue, NULL, &user, NULL);
  CHECK(syncline_subscription_is_active(subscription));
  EXPECT(SYNCLINE_END, syncline_queue_poll(queue, &event));
  EXPECT(SYNCLINE_TIMEOUT, syncline_queue_wait(queue, 0, &event));
  EXPECT(SYNCLINE_TIMEOUT, syncline_queue_wait(queue, 5, &event));
  CHECK(event == NULL && syncline_queue_length(queue) == 0);
  type_one();
  type_one();
  CHECK(syncline_queue_length(queue) == 2);
  for (uint64_t number = 1; number <= 2; number++) {
    OK(syncline_queue_poll(queue, &event));
    CHECK(syncline_event_get_type(event) == SYNCLINE_EVENT_CHANGE);
    CHECK(syncline_event_sequence(event) == number);
    CHECK(syncline_event_user_data(event) == &user);
    CHECK(syncline_event_time_ms(event) > 1500000000000);
    syncline_event_free(event);
  }
  /* What waits for a freed subscription goes with it. */
  type_one();
  syncline_subscription_free(subscription);
  CHECK(syncline_queue_length(queue) == 0);
  type_one();
  CHECK(syncline_queue_length(queue) == 0);
  syncline_queue_free(queue);
}

static void *typist(void *argument) {
  (void)argument;
  for (int i = 0; i < 50; i++) type_one();
  return NULL;
}

static void waits_for_another_thread(void) {
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = subscribe_to(queue, NULL, NULL, NULL);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, typist, NULL) == 0);
  for (uint64_t number = 1; number <= 50; number++) {
    syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
    CHECK(syncline_event_sequence(event) == number);
    syncline_event_free(event);
  }
  CHECK(pthread_join(thread, NULL) == 0);
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
}

static void *waiter(void *queue) {
  syncline_event *event = NULL;
  EXPECT(SYNCLINE_ERROR_CANCELLED, syncline_queue_wait((syncline_queue *)queue, PATIENCE_MS, &event));
  CHECK(event == NULL);
  return NULL;
}

static void a_wait_can_be_cancelled(void) {
  syncline_queue *queue = new_queue();
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, waiter, queue) == 0);
  /* Whether the other thread waits already or not: its wait ends. */
  OK(syncline_queue_cancel_wait(queue));
  CHECK(pthread_join(thread, NULL) == 0);
  syncline_event *event = NULL;
  EXPECT(SYNCLINE_TIMEOUT, syncline_queue_wait(queue, 0, &event));
  syncline_queue_free(queue);
}

static void descriptor_follows_the_queue(void) {
  syncline_queue *queue = new_queue();
  intptr_t fd = syncline_queue_fd(queue);
  CHECK(fd >= 0 && syncline_queue_fd(queue) == fd);
  CHECK(fcntl((int)fd, F_GETFD) & FD_CLOEXEC);
  syncline_subscription *subscription = subscribe_to(queue, NULL, NULL, NULL);
  syncline_event *event = NULL;
  CHECK(!is_readable(fd));
  for (int round = 0; round < 3; round++) {
    type_one();
    type_one();
    CHECK(is_readable(fd));
    OK(syncline_queue_poll(queue, &event));
    syncline_event_free(event);
    CHECK(is_readable(fd)); /* level-triggered */
    OK(syncline_queue_poll(queue, &event));
    syncline_event_free(event);
    CHECK(!is_readable(fd));
  }
  type_one();
  CHECK(is_readable(fd));
  syncline_subscription_free(subscription);
  CHECK(!is_readable(fd));
  /* Made while events wait, it is readable at once. */
  syncline_queue *late = new_queue();
  subscription = subscribe_to(late, NULL, NULL, NULL);
  type_one();
  CHECK(is_readable(syncline_queue_fd(late)));
  syncline_subscription_free(subscription);
  syncline_queue_free(late);
  syncline_queue_free(queue);
  CHECK(fcntl((int)fd, F_GETFD) == -1); /* closed with the queue */
}

static void dispatch_runs_here(void) {
  syncline_queue *queue = new_queue();
  atomic_int events = 0, freed = 0;
  uint32_t count = 99;
  syncline_subscription *subscription = subscribe_to(queue, count_event, &events, NULL);
  OK(syncline_queue_dispatch(queue, 0, &count));
  CHECK(count == 0);
  for (int i = 0; i < 5; i++) type_one();
  OK(syncline_queue_dispatch(queue, 2, &count));
  CHECK(count == 2 && events == 2);
  OK(syncline_queue_dispatch(queue, 0, NULL));
  CHECK(events == 5 && syncline_queue_length(queue) == 0);
  syncline_subscription_free(subscription);
  /* An event without a callback is dropped by dispatch. */
  subscription = subscribe_to(queue, NULL, &freed, count_call);
  type_one();
  OK(syncline_queue_dispatch(queue, 0, &count));
  CHECK(count == 1 && syncline_queue_length(queue) == 0);
  CHECK(freed == 0);
  syncline_subscription_free(subscription);
  CHECK(freed == 1);
  syncline_queue_free(queue);
}

static void own_thread(void) {
  syncline_queue *queue = new_queue();
  syncline_queue *again = syncline_queue_retain(queue);
  CHECK(again == queue);
  atomic_int events = 0;
  syncline_subscription *subscription = subscribe_to(queue, count_event, &events, NULL);
  EXPECT(SYNCLINE_UNCHANGED, syncline_queue_stop(queue));
  OK(syncline_queue_start(queue));
  EXPECT(SYNCLINE_UNCHANGED, syncline_queue_start(queue));
  for (int i = 0; i < 20; i++) type_one();
  while (atomic_load(&events) < 20) sched_yield();
  OK(syncline_queue_stop(queue));
  type_one();
  CHECK(syncline_queue_length(queue) == 1 && events == 20);
  OK(syncline_queue_start(queue));
  while (atomic_load(&events) < 21) sched_yield();
  syncline_queue_free(again);
  CHECK(syncline_subscription_is_active(subscription));
  syncline_queue_free(queue);
  CHECK(!syncline_subscription_is_active(subscription));
  type_one();
  CHECK(events == 21);
  syncline_subscription_free(subscription);
}

static void wakeup_rings_when_empty_becomes_non_empty(void) {
  syncline_queue *queue = new_queue();
  atomic_int rings = 0, freed = 0;
  OK(syncline_queue_set_wakeup(queue, count_call, &rings, NULL));
  syncline_subscription *subscription = subscribe_to(queue, NULL, NULL, NULL);
  CHECK(rings == 0);
  type_one();
  type_one();
  CHECK(rings == 1);
  syncline_event *event = NULL;
  while (syncline_queue_poll(queue, &event) == SYNCLINE_OK) syncline_event_free(event);
  type_one();
  CHECK(rings == 2);
  /* Set while events wait, it rings at once. */
  OK(syncline_queue_set_wakeup(queue, count_call, &freed, count_call));
  CHECK(rings == 2 && freed == 1);
  OK(syncline_queue_set_wakeup(queue, NULL, NULL, NULL));
  CHECK(freed == 2); /* given back */
  INVALID(syncline_queue_set_wakeup(NULL, count_call, &freed, count_call));
  CHECK(freed == 3); /* also when the call fails */
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
}

static int64_t posted_port;
static int posts;

static bool post_c_object(int64_t port, void *message) {
  CHECK(*(int32_t *)message == 0); /* Dart_CObject_kNull */
  posted_port = port;
  posts++;
  return true;
}

static void dart_port(void) {
  syncline_queue *queue = new_queue();
  bool (*function)(int64_t, void *) = post_c_object;
  void *pointer;
  memcpy(&pointer, &function, sizeof pointer);
  OK(syncline_queue_set_dart_port(queue, 4711, pointer));
  syncline_subscription *subscription = subscribe_to(queue, NULL, NULL, NULL);
  type_one();
  type_one();
  CHECK(posts == 1 && posted_port == 4711);
  INVALID(syncline_queue_set_dart_port(queue, 1, NULL));
  OK(syncline_queue_set_dart_port(queue, 0, NULL));
  syncline_event *event = NULL;
  while (syncline_queue_poll(queue, &event) == SYNCLINE_OK) syncline_event_free(event);
  type_one();
  CHECK(posts == 1);
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
}

static void overflow_replaces_what_waits(void) {
  syncline_queue *queue = NULL;
  OK(syncline_queue_new(SYNCLINE_OPTIONS(syncline_queue_options, .bytes_max = 3000), &queue));
  syncline_subscription *a = subscribe_to(queue, NULL, &posts, NULL);
  syncline_subscription *b = subscribe_to(queue, NULL, &posted_port, NULL);
  for (int i = 0; i < 200; i++) {
    type_one();
    CHECK(syncline_queue_length(queue) < 30);
  }
  int overflows = 0;
  syncline_event *event = NULL;
  uint64_t sequence = 0;
  while (syncline_queue_poll(queue, &event) == SYNCLINE_OK) {
    CHECK(syncline_event_sequence(event) == ++sequence);
    if (syncline_event_get_type(event) == SYNCLINE_EVENT_OVERFLOW) {
      /* First come those of the subscriptions that lost something, each once. */
      CHECK(syncline_event_user_data(event) == (overflows == 0 ? (void *)&posts : (void *)&posted_port));
      overflows++;
    }
    syncline_event_free(event);
  }
  CHECK(overflows == 2);
  /* An event larger than the queue is an overflow, too; CLOSED is never lost. */
  char *large = malloc(100000);
  memset(large, 'y', 100000);
  OK(syncline_text_insert(text, 0, text_with_length(large, 100000)));
  free(large);
  event = next_event(queue, SYNCLINE_EVENT_OVERFLOW);
  syncline_event_free(event);
  syncline_subscription_free(a);
  syncline_subscription_free(b);
  syncline_queue_free(queue);
}

/* Callbacks on the library's own thread may do everything. */
static syncline_subscription *self;
static syncline_document *doomed;
static syncline_text *doomed_text;
static atomic_int inside, given_back;

static void free_everything(void *user_data, const syncline_event *event) {
  (void)user_data;
  sigset_t blocked;
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0);
  CHECK(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGPIPE));
  CHECK(syncline_event_get_type(event) == SYNCLINE_EVENT_CHANGE);
  OK(syncline_text_insert(doomed_text, 0, S("from inside ")));
  CHECK(text_is(doomed_text, "from inside x"));
  syncline_subscription *other = NULL;
  OK(syncline_text_subscribe(doomed_text, SYNCLINE_OPTIONS(syncline_listener, .callback = count_event, .user_data = &inside), &other));
  syncline_subscription_free(other);
  syncline_text_free(doomed_text);
  syncline_document_free(doomed);
  syncline_subscription_free(self);
  CHECK(atomic_load(&given_back) == 0); /* not before this callback has returned */
  atomic_fetch_add(&inside, 1);
}

static void everything_inside_of_a_callback(void) {
  doomed = new_document();
  doomed_text = new_text(doomed, "t");
  OK(syncline_text_subscribe(doomed_text,
                             SYNCLINE_OPTIONS(syncline_listener, .callback = free_everything,
                                              .user_data = &given_back, .free_user_data = count_call),
                             &self));
  OK(syncline_text_insert(doomed_text, 0, S("x")));
  while (atomic_load(&given_back) == 0) sched_yield();
  CHECK(atomic_load(&inside) == 1);
}

/* Freeing on another thread waits for the callback that runs. */
static atomic_int entered, may_leave, left;

static void slow_callback(void *user_data, const syncline_event *event) {
  (void)user_data;
  (void)event;
  atomic_store(&entered, 1);
  while (!atomic_load(&may_leave)) sched_yield();
  atomic_store(&left, 1);
}

static void *let_it_leave(void *argument) {
  (void)argument;
  struct timespec pause = {.tv_nsec = 20000000};
  nanosleep(&pause, NULL);
  atomic_store(&may_leave, 1);
  return NULL;
}

static void freeing_waits_for_the_callback(void) {
  atomic_int freed = 0;
  syncline_subscription *subscription = subscribe_to(NULL, slow_callback, &freed, count_call);
  type_one();
  while (!atomic_load(&entered)) sched_yield();
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, let_it_leave, NULL) == 0);
  syncline_subscription_free(subscription);
  CHECK(atomic_load(&left) == 1 && freed == 1);
  CHECK(pthread_join(thread, NULL) == 0);
}

/* A queue may be freed inside of its own callback. */
static void free_the_queue(void *user_data, const syncline_event *event) {
  (void)event;
  syncline_queue_free((syncline_queue *)user_data);
  atomic_fetch_add(&inside, 1);
}

static void freeing_a_queue_inside_of_its_callback(void) {
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = subscribe_to(queue, free_the_queue, queue, NULL);
  int before = atomic_load(&inside);
  type_one();
  type_one();
  uint32_t count = 0;
  OK(syncline_queue_dispatch(queue, 0, &count));
  CHECK(count == 1 && atomic_load(&inside) == before + 1);
  syncline_subscription_free(subscription);
}

/* Dispatching inside of a callback goes on with the events behind it. */
static void nested(void *user_data, const syncline_event *event) {
  (void)event;
  atomic_fetch_add(&inside, 1);
  OK(syncline_queue_dispatch((syncline_queue *)user_data, 0, NULL));
}

static void dispatch_nests(void) {
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = subscribe_to(queue, nested, queue, NULL);
  int before = atomic_load(&inside);
  for (int i = 0; i < 3; i++) type_one();
  uint32_t count = 0;
  OK(syncline_queue_dispatch(queue, 1, &count));
  CHECK(count == 1 && atomic_load(&inside) == before + 3);
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
}

static void many_subscriptions(void) {
  enum { COUNT = 10000 };
  static syncline_subscription *all[COUNT];
  syncline_queue *queue = new_queue();
  atomic_int events = 0, freed = 0;
  for (int i = 0; i < COUNT; i++) {
    OK(syncline_text_subscribe(text,
                               SYNCLINE_OPTIONS(syncline_listener, .queue = queue,
                                                .callback = count_event, .user_data = &events,
                                                .free_user_data = count_call),
                               &all[i]));
  }
  (void)freed;
  type_one();
  OK(syncline_queue_dispatch(queue, 0, NULL));
  CHECK(events == COUNT);
  for (int i = 0; i < COUNT; i++) syncline_subscription_free(all[i]);
  CHECK(events == 2 * COUNT); /* each gave its user data back */
  syncline_queue_free(queue);
}

static void bad_arguments(void) {
  syncline_queue *queue = NULL;
  syncline_event *event = NULL;
  syncline_subscription *subscription = NULL;
  atomic_int freed = 0;
  INVALID(syncline_queue_new(NULL, NULL));
  syncline_queue_options options = {0};
  INVALID(syncline_queue_new(&options, &queue));
  CHECK(queue == NULL);
  syncline_queue *bad[2] = {NULL, (syncline_queue *)text};
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_queue_poll(bad[i], &event));
    INVALID(syncline_queue_wait(bad[i], 0, &event));
    INVALID(syncline_queue_dispatch(bad[i], 0, NULL));
    INVALID(syncline_queue_start(bad[i]));
    INVALID(syncline_queue_stop(bad[i]));
    INVALID(syncline_queue_cancel_wait(bad[i]));
    INVALID(syncline_queue_set_dart_port(bad[i], 0, NULL));
    CHECK(syncline_queue_length(bad[i]) == 0 && syncline_queue_fd(bad[i]) == -1);
    CHECK(syncline_queue_retain(bad[i]) == NULL);
    syncline_queue_free(bad[i]);
    CHECK(!syncline_subscription_is_active((syncline_subscription *)bad[i]));
    syncline_subscription_free((syncline_subscription *)bad[i]);
  }
  queue = new_queue();
  INVALID(syncline_queue_poll(queue, NULL));
  INVALID(syncline_queue_wait(queue, 0, NULL));
  /* Every failing subscription gives the user data back, once. */
  syncline_listener listener = {0};
  listener.struct_size = sizeof listener;
  listener.user_data = &freed;
  listener.free_user_data = count_call;
  INVALID(syncline_text_subscribe(text, &listener, &subscription)); /* neither callback nor queue */
  CHECK(freed == 1);
  listener.callback = count_event;
  INVALID(syncline_text_subscribe(NULL, &listener, &subscription));
  CHECK(freed == 2);
  INVALID(syncline_text_subscribe(text, &listener, NULL));
  CHECK(freed == 3);
  listener.queue = (syncline_queue *)document;
  INVALID(syncline_text_subscribe(text, &listener, &subscription));
  CHECK(freed == 4);
  listener.struct_size = 0;
  INVALID(syncline_text_subscribe(text, &listener, &subscription));
  INVALID(syncline_text_subscribe(text, NULL, &subscription));
  CHECK(subscription == NULL);
  syncline_queue_free(queue);
}

int main(void) {
  document = new_document();
  text = new_text(document, "text");
  poll_and_wait();
  waits_for_another_thread();
  a_wait_can_be_cancelled();
  descriptor_follows_the_queue();
  dispatch_runs_here();
  own_thread();
  wakeup_rings_when_empty_becomes_non_empty();
  dart_port();
  overflow_replaces_what_waits();
  everything_inside_of_a_callback();
  freeing_waits_for_the_callback();
  freeing_a_queue_inside_of_its_callback();
  dispatch_nests();
  many_subscriptions();
  bad_arguments();
  syncline_text_free(text);
  syncline_document_free(document);
  return finish("queue");
}
