/* What the small examples share: they stop at the first failure, and their replicas exchange
 * changes in memory. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <syncline.h>

static inline void check(syncline_status status) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %s\n", syncline_status_name(status), syncline_error_last()->message);
  exit(1);
}

/* A replica with a peer id of its own. Real programs leave it to chance; here it decides who wins
 * when two write in the same millisecond. */
static inline syncline_document *new_replica(uint8_t number) {
  syncline_peer_id peer = {{number, 0, 0, 0, 0, 0, 0x40, 0, 0x80}};
  syncline_document *document = NULL;
  check(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .peer_id = &peer), &document));
  return document;
}

static inline void send_changes(syncline_document *from, syncline_document *to) {
  syncline_buffer changes = {0};
  check(syncline_document_export_changes(from, NULL, &changes));
  check(syncline_document_import_changes(to, syncline_buffer_bytes(&changes), NULL));
  syncline_buffer_free(&changes);
}

/* Both know what either of them did. */
static inline void meet(syncline_document *a, syncline_document *b) {
  send_changes(a, b);
  send_changes(b, a);
}

/* A value from JSON text: {"done": false}. */
static inline syncline_value *json(const char *text) {
  syncline_value *value = NULL;
  check(syncline_value_from_json(syncline_str(text), &value));
  return value;
}

/* A handler that nobody knows yet, of a type that the document knows. */
static inline syncline_handler *new_handler(syncline_document *document, const char *type_name) {
  syncline_buffer id = {0};
  syncline_handler *handler = NULL;
  check(syncline_document_new_handler_id(document, &id));
  check(syncline_document_resolve(document, syncline_buffer_string(&id), syncline_str(type_name), &handler));
  syncline_buffer_free(&id);
  return handler;
}

/* Prints everything in a document, references resolved. */
static inline void show(const char *who, const syncline_document *document) {
  syncline_buffer text = {0};
  check(syncline_document_to_json(document, &text));
  printf("%s: %s\n", who, (const char *)text.data);
  syncline_buffer_free(&text);
}

#endif
