#include "check.h"

static atomic_int records;
static atomic_int freed;
static char last_target[32];
static int user;

static void sink(void *user_data, const syncline_log_record *record) {
  CHECK(user_data == &user);
  CHECK(record->level >= SYNCLINE_LOG_ERROR && record->level <= SYNCLINE_LOG_TRACE);
  CHECK(record->time_ms > 1500000000000);
  CHECK(record->message.len > 0);
  snprintf(last_target, sizeof last_target, "%.*s", (int)record->target.len, record->target.data);
  atomic_fetch_add(&records, 1);
}

static void free_user(void *user_data) {
  CHECK(user_data == &user);
  atomic_fetch_add(&freed, 1);
}

/* A server that starts is worth a record of level INFO. */
static void make_a_record(void) {
  syncline_server *server = NULL;
  OK(syncline_server_new(NULL, &server));
  OK(syncline_server_start(server));
  OK(syncline_server_stop(server, PATIENCE_MS));
  syncline_server_free(server);
}

int main(void) {
  CHECK(syncline_log_get_level() == SYNCLINE_LOG_OFF);
  make_a_record();
  OK(syncline_log_set_sink(SYNCLINE_LOG_INFO, sink, &user, free_user));
  CHECK(syncline_log_get_level() == SYNCLINE_LOG_INFO);
  make_a_record();
  int seen = atomic_load(&records);
  CHECK(seen > 0);
  CHECK(strcmp(last_target, "server") == 0);

  syncline_log_set_level(SYNCLINE_LOG_OFF);
  CHECK(syncline_log_get_level() == SYNCLINE_LOG_OFF);
  make_a_record();
  CHECK(atomic_load(&records) == seen);
  syncline_log_set_level((syncline_log_level)42); /* changes nothing */
  CHECK(syncline_log_get_level() == SYNCLINE_LOG_OFF);

  /* The user data comes back exactly once, also when the call fails. */
  INVALID(syncline_log_set_sink((syncline_log_level)42, sink, &user, free_user));
  CHECK(atomic_load(&freed) == 1);
  OK(syncline_log_set_sink(SYNCLINE_LOG_OFF, sink, &user, free_user));
  CHECK(atomic_load(&freed) == 2);
  OK(syncline_log_set_sink(SYNCLINE_LOG_OFF, NULL, &user, free_user));
  CHECK(atomic_load(&freed) == 4);
  return finish("log");
}
