/* Asserts that stay in every build, and what the programs share. One program per header section;
 * each ends with `return finish("name")`, which also checks that every handle was freed. */
#ifndef CHECK_H
#define CHECK_H

#include "syncline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: not true: %s (last error: %s)\n", __FILE__, __LINE__, #condition,    \
              syncline_error_last()->message);                                                     \
      abort();                                                                                     \
    }                                                                                              \
  } while (0)

/* The status of a call. A negative one must also be what syncline_error_last says. */
#define EXPECT(wanted, call)                                                                       \
  do {                                                                                             \
    syncline_status wanted_ = (wanted), got_ = (call);                                             \
    if (got_ != wanted_ || (got_ < 0 && syncline_error_last()->status != got_)) {                  \
      fprintf(stderr, "%s:%d: %s gave %s, wanted %s (last error: %s)\n", __FILE__, __LINE__,       \
              #call, syncline_status_name(got_), syncline_status_name(wanted_),                    \
              syncline_error_last()->message);                                                     \
      abort();                                                                                     \
    }                                                                                              \
  } while (0)

#define OK(call) EXPECT(SYNCLINE_OK, call)
#define INVALID(call) EXPECT(SYNCLINE_ERROR_INVALID_ARGUMENT, call)

/* How long anything may take before a test fails. */
#define PATIENCE_MS 20000

static inline syncline_string S(const char *text) { return syncline_str(text); }

static inline syncline_string text_with_length(const char *text, size_t len) {
  syncline_string s;
  s.data = text;
  s.len = len;
  return s;
}

/* Not UTF-8. */
static inline syncline_string bad_utf8(void) { return text_with_length("a\xff", 2); }

/* A length without memory. */
static inline syncline_string bad_length(void) { return text_with_length(NULL, 3); }

static inline syncline_bytes B(const void *data, size_t len) {
  syncline_bytes b;
  b.data = (const uint8_t *)data;
  b.len = len;
  return b;
}

static inline syncline_bytes no_bytes(void) { return B(NULL, 0); }

static inline syncline_bytes bad_bytes(void) { return B(NULL, 3); }

static inline bool same(syncline_string a, const char *b) {
  return a.len == strlen(b) && (a.len == 0 || memcmp(a.data, b, a.len) == 0);
}

/* Compares and frees. */
static inline bool take_equals(syncline_buffer *buffer, const char *text) {
  bool equal = same(syncline_buffer_string(buffer), text) && buffer->data[buffer->len] == 0;
  if (!equal) fprintf(stderr, "got: %s\n", (const char *)buffer->data);
  syncline_buffer_free(buffer);
  return equal;
}

static inline syncline_value int_value(int64_t number) {
  syncline_value value;
  memset(&value, 0, sizeof value);
  value.type = SYNCLINE_VALUE_INT;
  value.data.integer = number;
  return value;
}

static inline syncline_value string_value(const char *text) {
  syncline_value value;
  memset(&value, 0, sizeof value);
  value.type = SYNCLINE_VALUE_STRING;
  value.data.string = S(text);
  return value;
}

static inline syncline_value bytes_value(const void *data, size_t len) {
  syncline_value value;
  memset(&value, 0, sizeof value);
  value.type = SYNCLINE_VALUE_BYTES;
  value.data.bytes = B(data, len);
  return value;
}

static inline syncline_value ref_value(const char *id, const char *type_name) {
  syncline_value value;
  memset(&value, 0, sizeof value);
  value.type = SYNCLINE_VALUE_REF;
  value.data.string = S(id);
  value.ref_type = S(type_name);
  return value;
}

static inline syncline_value plain_value(uint32_t type) {
  syncline_value value;
  memset(&value, 0, sizeof value);
  value.type = type;
  return value;
}

static inline bool value_is(const syncline_value *value, const char *json) {
  syncline_buffer text;
  OK(syncline_value_to_json(value, &text));
  return take_equals(&text, json);
}

/* Compares and frees. */
static inline bool take_value_is(syncline_value *value, const char *json) {
  bool equal = value_is(value, json);
  syncline_value_free(value);
  return equal;
}

static inline syncline_document *new_document(void) {
  syncline_document *document = NULL;
  OK(syncline_document_new(NULL, &document));
  return document;
}

static inline syncline_document *new_document_with_unit(syncline_text_unit unit) {
  syncline_document *document = NULL;
  syncline_document_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.text_unit = unit;
  OK(syncline_document_new(&options, &document));
  return document;
}

static inline syncline_text *new_text(syncline_document *document, const char *id) {
  syncline_text *text = NULL;
  OK(syncline_document_get_text(document, S(id), NULL, &text));
  return text;
}

static inline syncline_map *new_map(syncline_document *document, const char *id) {
  syncline_map *map = NULL;
  OK(syncline_document_get_map(document, S(id), NULL, &map));
  return map;
}

/* 0: what the function makes by default. */
static inline syncline_handler_options of_kind(syncline_handler_kind kind) {
  syncline_handler_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.kind = kind;
  return options;
}

static inline syncline_text *new_text_of(syncline_document *document, const char *id, syncline_handler_kind kind) {
  syncline_text *text = NULL;
  syncline_handler_options options = of_kind(kind);
  OK(syncline_document_get_text(document, S(id), &options, &text));
  return text;
}

static inline syncline_list *new_list(syncline_document *document, const char *id, syncline_handler_kind kind) {
  syncline_list *list = NULL;
  syncline_handler_options options = of_kind(kind);
  OK(syncline_document_get_list(document, S(id), &options, &list));
  return list;
}

static inline syncline_map *new_map_of(syncline_document *document, const char *id, syncline_handler_kind kind) {
  syncline_map *map = NULL;
  syncline_handler_options options = of_kind(kind);
  OK(syncline_document_get_map(document, S(id), &options, &map));
  return map;
}

static inline bool text_is(const syncline_text *text, const char *wanted) {
  syncline_buffer content;
  OK(syncline_text_to_string(text, &content));
  return take_equals(&content, wanted);
}

static inline syncline_queue *new_queue(void) {
  syncline_queue *queue = NULL;
  OK(syncline_queue_new(NULL, &queue));
  return queue;
}

/* Takes the next event, which must be of this type. */
static inline syncline_event *next_event(syncline_queue *queue, syncline_event_type type) {
  syncline_event *event = NULL;
  OK(syncline_queue_wait(queue, PATIENCE_MS, &event));
  if (syncline_event_get_type(event) != type) {
    syncline_buffer json;
    OK(syncline_event_to_json(event, &json));
    fprintf(stderr, "another event than %d: %s\n", (int)type, (const char *)json.data);
    abort();
  }
  return event;
}

static inline void copy_changes(syncline_document *from, syncline_document *to) {
  syncline_buffer changes;
  OK(syncline_document_export_changes(from, NULL, &changes));
  syncline_status status =
      syncline_document_import_changes(to, syncline_buffer_bytes(&changes), NULL);
  CHECK(status == SYNCLINE_OK || status == SYNCLINE_UNCHANGED);
  syncline_buffer_free(&changes);
}

static inline int finish(const char *name) {
  syncline_library_stats stats;
  OK(syncline_library_shutdown(PATIENCE_MS));
  stats.struct_size = sizeof stats;
  OK(syncline_library_get_stats(&stats));
  CHECK(stats.live_handles == 0);
  CHECK(stats.threads == 0);
  printf("ok %s\n", name);
  return 0;
}

#endif
