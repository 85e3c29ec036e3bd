/* What the parts of collab share. */
#ifndef COLLAB_H
#define COLLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <syncline.h>

/* Bytes that grow; not terminated. */
typedef struct text {
  char *data;
  size_t len;
  size_t capacity;
} text;

/* Replaces `remove` bytes at `at`. Ends the program when there is no memory. */
void text_splice(text *t, size_t at, size_t remove, const char *insert, size_t insert_len);
text text_of_file(const char *path);

/* The checksum of POSIX's cksum, so that `cksum FILE` can be compared. */
uint32_t cksum(const uint8_t *data, size_t len);

typedef struct options {
  const char *url;
  const char *room;
  const char *file; /* NULL: watch */
  const char *name;
  const char *store; /* NULL: in memory only */
  uint64_t seed;
  double duration_s;
  long timeout_s; /* 0: none */
  bool gzip;
  bool print;
} options;

/* False: not understood. */
bool options_parse(options *out, int argc, char **argv);

/* A document with a text "body" and a register "done". */
typedef struct document {
  syncline_store *store; /* may be NULL */
  syncline_document *document;
  syncline_text *body;
  syncline_register *done;
} document;

typedef struct session {
  const options *options;
  document doc;
  syncline_client *client;
  syncline_queue *queue;
  syncline_subscription *changes;
  syncline_subscription *statuses;
  text mirror;
  uint64_t remote_events;
  uint64_t keystrokes;
  unsigned connections;
  int64_t started_ms;
  int64_t progress_at_ms;
} session;

#endif
