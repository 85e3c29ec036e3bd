/* Several people and one text: joins a room of a server and types a file into it, or watches.
 * Everything runs in one thread: an own queue is drained in an ordinary poll loop. */
#include "collab.h"
#include "typist.h"
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char USAGE[] =
    "Usage: collab URL ROOM type FILE [OPTIONS]   types the file into the room's text\n"
    "       collab URL ROOM watch [OPTIONS]       follows it until it is said to be complete\n"
    "       collab inspect STORE ROOM             says what a store file holds\n"
    "\n"
    "  --name NAME        in the output (default: the mode)\n"
    "  --store PATH       keep the document in a SQLite file, too\n"
    "  --seed N           other slips and jumps (default 1)\n"
    "  --duration SECONDS how long typing takes (default 10)\n"
    "  --timeout SECONDS  give up after this time (default: never)\n"
    "  --gzip             compress\n"
    "  --print            print the text at the end\n"
    "\n"
    "The last line of the output is for machines. Exit code 0: the text is complete, and what the\n"
    "change events told is the same as what the document says. SIGTERM ends it early (code 3).\n";

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_EARLY = 3 };
enum { PROGRESS_MS = 1000, TICK_MS = 100, WAIT_MS = 30000, KEYSTROKES_AT_ONCE_MAX = 50 };

static volatile sig_atomic_t told_to_stop;
static void stop(int number) {
  (void)number;
  told_to_stop = 1;
}

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("collab: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(EXIT_FAILED);
}

static void check(syncline_status status, const char *what) {
  if (status < 0) fail("%s: %s (%s)", what, syncline_error_last()->message, syncline_status_name(status));
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- The document and its parts ---- */

static void document_open(document *doc, const char *store_path, bool read_only, const char *room) {
  memset(doc, 0, sizeof *doc);
  /* Indexes in bytes, because that is what C strings have. */
  const syncline_document_options *options = SYNCLINE_OPTIONS(
      syncline_document_options, .document_id = syncline_str(room), .text_unit = SYNCLINE_TEXT_UNIT_UTF8);
  if (store_path) {
    check(syncline_store_open(syncline_str(store_path),
                              SYNCLINE_OPTIONS(syncline_store_options, .read_only = read_only), &doc->store),
          store_path);
    check(syncline_store_open_document(doc->store, options, &doc->document), room);
  } else {
    check(syncline_document_new(options, &doc->document), "document");
  }
  check(syncline_document_get_text(doc->document, SYNCLINE_STR("body"), NULL, &doc->body), "body");
  check(syncline_document_get_register(doc->document, SYNCLINE_STR("done"), NULL, &doc->done), "done");
}

static void document_close(document *doc) {
  syncline_register_free(doc->done);
  syncline_text_free(doc->body);
  syncline_document_free(doc->document);
  if (doc->store) check(syncline_store_close(doc->store, WAIT_MS), "closing the store");
  syncline_store_free(doc->store);
}

/* The checksum that the typist wrote into the register "done", or false while there is none. */
static bool completion(const document *doc, uint32_t *out_checksum) {
  syncline_value *value = NULL;
  syncline_status status = syncline_register_get(doc->done, &value);
  check(status, "reading \"done\"");
  bool is_set = status == SYNCLINE_OK && value && value->type == SYNCLINE_VALUE_INT;
  if (is_set) *out_checksum = (uint32_t)value->data.integer;
  syncline_value_free(value);
  return is_set;
}

/* One line for machines: name=value, no blanks in values. */
static void report(const char *name, const document *doc, bool complete, const char *more) {
  syncline_buffer content = {0};
  check(syncline_text_to_string(doc->body, &content), "reading the text");
  printf("collab name=%s complete=%s checksum=%u text_bytes=%zu changes=%llu%s\n", name, complete ? "yes" : "no",
         (unsigned)cksum(content.data, content.len), content.len,
         (unsigned long long)syncline_document_change_count(doc->document), more);
  fflush(stdout);
  syncline_buffer_free(&content);
}

/* ---- What an editor would show: a copy of the text that change events keep up to date ---- */

static void mirror_read(session *s) {
  syncline_buffer content = {0};
  check(syncline_text_to_string(s->doc.body, &content), "reading the text");
  s->mirror.len = 0;
  text_splice(&s->mirror, 0, 0, (const char *)content.data, content.len);
  syncline_buffer_free(&content);
}

static void mirror_apply(session *s, const syncline_change_target *target) {
  size_t at = 0;
  for (size_t i = 0; i < target->text_op_count; i++) {
    const syncline_text_op *op = &target->text_ops[i];
    size_t length = (size_t)op->length;
    if (op->kind != SYNCLINE_OP_INSERT && (length > s->mirror.len || at > s->mirror.len - length)) {
      fail("a change event reaches past the end of the text");
    }
    if (op->kind == SYNCLINE_OP_REMOVE) text_splice(&s->mirror, at, length, NULL, 0);
    if (op->kind == SYNCLINE_OP_INSERT) text_splice(&s->mirror, at, 0, op->text.data, op->text.len);
    if (op->kind != SYNCLINE_OP_REMOVE) at += length;
  }
}

static bool mirror_is_exact(const session *s) {
  syncline_buffer content = {0};
  check(syncline_text_to_string(s->doc.body, &content), "reading the text");
  bool same = content.len == s->mirror.len &&
              (content.len == 0 || memcmp(content.data, s->mirror.data, content.len) == 0);
  syncline_buffer_free(&content);
  return same;
}

/* ---- Events ---- */

static void on_change(void *user_data, const syncline_event *event) {
  session *s = user_data;
  syncline_change_info info = {.struct_size = sizeof info};
  switch (syncline_event_get_type(event)) {
    case SYNCLINE_EVENT_CHANGE:
      check(syncline_event_change(event, &info), "change event");
      for (size_t i = 0; i < info.target_count; i++) mirror_apply(s, &info.targets[i]);
      if (info.origin == SYNCLINE_ORIGIN_REMOTE) s->remote_events++;
      break;
    case SYNCLINE_EVENT_OVERFLOW: /* we were too slow, and events are missing */
      mirror_read(s);
      break;
    default:
      break;
  }
}

static void on_status(void *user_data, const syncline_event *event) {
  session *s = user_data;
  syncline_client_status_info info = {.struct_size = sizeof info};
  if (syncline_event_status(event, &info) < 0) return;
  if (info.status == SYNCLINE_CONNECTION_CONNECTED) s->connections++;
}

static const char *status_name(syncline_connection_status status) {
  switch (status) {
    case SYNCLINE_CONNECTION_DISCONNECTED: return "disconnected";
    case SYNCLINE_CONNECTION_CONNECTING: return "connecting";
    case SYNCLINE_CONNECTION_CONNECTED: return "connected";
    case SYNCLINE_CONNECTION_RECONNECTING: return "reconnecting";
    case SYNCLINE_CONNECTION_ERROR: return "given up";
    case SYNCLINE_CONNECTION_SUSPENDED: return "suspended";
  }
  return "?";
}

/* ---- The session ---- */

static void session_open(session *s, const options *options) {
  memset(s, 0, sizeof *s);
  s->options = options;
  s->started_ms = now_ms();
  s->progress_at_ms = s->started_ms + PROGRESS_MS;
  document_open(&s->doc, options->store, false, options->room);
  check(syncline_queue_new(NULL, &s->queue), "queue");
  check(syncline_text_subscribe(s->doc.body,
                                SYNCLINE_OPTIONS(syncline_listener, .queue = s->queue, .callback = on_change,
                                                 .user_data = s),
                                &s->changes),
        "listening to the text");
  mirror_read(s); /* nobody else edits yet */
  check(syncline_client_new(
            SYNCLINE_OPTIONS(syncline_client_options, .url = syncline_str(options->url),
                             .compression = options->gzip ? SYNCLINE_COMPRESSION_GZIP : SYNCLINE_COMPRESSION_NONE,
                             .reconnect_delay_ms_min = 100, .reconnect_delay_ms_max = 500,
                             .reconnect_attempts_max = -1),
            &s->client),
        options->url);
  check(syncline_client_subscribe(s->client,
                                  SYNCLINE_OPTIONS(syncline_listener, .queue = s->queue, .callback = on_status,
                                                   .user_data = s, .mask = UINT64_C(1) << SYNCLINE_EVENT_STATUS),
                                  &s->statuses),
        "listening to the client");
  check(syncline_client_attach_document(s->client, s->doc.document), "attaching");
  check(syncline_client_connect(s->client), "connecting");
}

/* Afterwards nothing changes the document any more, and the mirror has seen everything. */
static void session_disconnect(session *s) {
  syncline_subscription_free(s->statuses);
  syncline_client_free(s->client);
  check(syncline_queue_dispatch(s->queue, 0, NULL), "events");
}

static void session_close(session *s) {
  syncline_subscription_free(s->changes);
  syncline_queue_free(s->queue);
  document_close(&s->doc);
  free(s->mirror.data);
}

static void print_progress(session *s) {
  syncline_client_progress progress = {.struct_size = sizeof progress};
  check(syncline_client_get_progress(s->client, syncline_str(s->options->room), &progress), "progress");
  fprintf(stderr, "%-8s %5.1f s  %-12s %6zu bytes of text, %6llu changes, %5llu unacknowledged\n",
          s->options->name, (double)(now_ms() - s->started_ms) / 1000, status_name(syncline_client_status(s->client)),
          s->mirror.len, (unsigned long long)syncline_document_change_count(s->doc.document),
          (unsigned long long)progress.pending_changes);
}

/* Runs callbacks for at most so long; returns early when something happened. */
static void let_run(session *s, int64_t wait_ms) {
  struct pollfd events = {.fd = (int)syncline_queue_fd(s->queue), .events = POLLIN};
  poll(&events, 1, (int)(wait_ms < 0 ? 0 : wait_ms));
  check(syncline_queue_dispatch(s->queue, 0, NULL), "events");
  int64_t now = now_ms();
  if (now >= s->progress_at_ms) {
    print_progress(s);
    s->progress_at_ms += PROGRESS_MS;
  }
  const char *timeout = "the time is up";
  if (s->options->timeout_s > 0 && now - s->started_ms > s->options->timeout_s * 1000) {
    print_progress(s);
    fail("%s: %s", s->options->name, timeout);
  }
}

static int session_end(session *s, bool complete, const char *more) {
  session_disconnect(s);
  bool exact = mirror_is_exact(s);
  if (!exact) fprintf(stderr, "%s: the events tell another text than the document has\n", s->options->name);
  if (s->options->print) fwrite(s->mirror.data, 1, s->mirror.len, stdout);
  char figures[200];
  snprintf(figures, sizeof figures, " events=%llu connections=%u seconds=%.1f%s", (unsigned long long)s->remote_events,
           s->connections, (double)(now_ms() - s->started_ms) / 1000, more);
  report(s->options->name, &s->doc, complete && exact, figures);
  session_close(s);
  if (!exact) return EXIT_FAILED;
  return complete ? 0 : EXIT_EARLY;
}

static int watch(const options *options) {
  session s;
  session_open(&s, options);
  uint32_t wanted = 0;
  bool complete = false;
  while (!complete && !told_to_stop) {
    let_run(&s, TICK_MS);
    /* "done" was written after the text, so whoever has it has the text. */
    complete = completion(&s.doc, &wanted) && wanted == cksum((const uint8_t *)s.mirror.data, s.mirror.len);
  }
  return session_end(&s, complete, "");
}

/* ---- Typing ---- */

static void press(session *s, const keystroke *key) {
  if (key->remove) {
    check(syncline_text_remove(s->doc.body, key->index, key->remove), "removing");
  } else {
    check(syncline_text_insert(s->doc.body, key->index, (syncline_string){key->insert, key->insert_len}), "typing");
  }
}

/* How many keystrokes it will be and how much rest between them: the same seed types the same. */
static uint64_t rehearse(const char *text, size_t len, uint64_t seed, uint64_t *out_rest) {
  uint64_t count = 0;
  keystroke key;
  typist *person = typist_new(text, len, seed);
  if (!person) fail("no memory");
  for (*out_rest = 0; typist_next(person, &key); count++) *out_rest += key.rest;
  typist_free(person);
  return count;
}

static void type_all(session *s, const char *text, size_t len) {
  uint64_t rest_all = 0, rest = 0;
  uint64_t count = rehearse(text, len, s->options->seed, &rest_all);
  fprintf(stderr, "%-8s types %zu bytes with %llu keystrokes\n", s->options->name, len, (unsigned long long)count);
  typist *person = typist_new(text, len, s->options->seed);
  if (!person) fail("no memory");
  int64_t begun_ms = now_ms();
  keystroke key;
  while (!told_to_stop && typist_next(person, &key)) {
    press(s, &key);
    s->keystrokes++;
    rest += key.rest;
    int64_t due_ms = begun_ms + (int64_t)((double)rest / (double)rest_all * s->options->duration_s * 1000);
    while (!told_to_stop && now_ms() < due_ms) let_run(s, due_ms - now_ms());
    if (s->keystrokes % KEYSTROKES_AT_ONCE_MAX == 0) let_run(s, 0);
  }
  typist_free(person);
}

static int type(const options *options) {
  text file = text_of_file(options->file);
  session s;
  session_open(&s, options);
  syncline_status synced = SYNCLINE_TIMEOUT;
  while (!told_to_stop && synced != SYNCLINE_OK) {
    let_run(&s, 0);
    synced = syncline_client_wait_synced(s.client, syncline_str(options->room), TICK_MS);
    check(synced, "joining");
  }
  uint64_t old = syncline_text_length(s.doc.body);
  if (old > 0) check(syncline_text_remove(s.doc.body, 0, old), "making room");
  type_all(&s, file.data, file.len);
  bool complete = !told_to_stop;
  if (complete) {
    syncline_value checksum = {.type = SYNCLINE_VALUE_INT};
    checksum.data.integer = cksum((const uint8_t *)file.data, file.len);
    check(syncline_register_set(s.doc.done, &checksum), "writing \"done\"");
  }
  syncline_status safe = SYNCLINE_TIMEOUT;
  while (complete && !told_to_stop && safe != SYNCLINE_OK) {
    safe = syncline_client_wait_acknowledged(s.client, syncline_str(options->room), TICK_MS);
    check(safe, "waiting for the server's disk");
    let_run(&s, 0);
  }
  char more[60];
  snprintf(more, sizeof more, " keystrokes=%llu", (unsigned long long)s.keystrokes);
  int code = session_end(&s, complete && safe == SYNCLINE_OK, more);
  free(file.data);
  return code;
}

static int inspect(const char *store, const char *room) {
  document doc;
  document_open(&doc, store, true, room);
  uint32_t wanted = 0;
  syncline_buffer content = {0};
  check(syncline_text_to_string(doc.body, &content), "reading the text");
  bool complete = completion(&doc, &wanted) && wanted == cksum(content.data, content.len);
  syncline_buffer_free(&content);
  report("store", &doc, complete, "");
  document_close(&doc);
  return complete ? 0 : EXIT_EARLY;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "inspect") == 0) return inspect(argv[2], argv[3]);
  options options;
  if (!options_parse(&options, argc, argv)) return fputs(USAGE, stderr), EXIT_USAGE;
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  return options.file ? type(&options) : watch(&options);
}
