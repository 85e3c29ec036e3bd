/* Replays an editing trace through the C interface: one call and one change per removal and per
 * insertion. Prints the median processor time in milliseconds and the heap that the document holds.
 *
 *   c_traces LINES RUNS     LINES: a file that `traces --lines` wrote
 *
 * With glibc the heap is what malloc says is in use, after minus before. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syncline.h>
#include <time.h>
#ifdef __GLIBC__
#  include <malloc.h>
#endif

struct edit {
  uint64_t at;
  uint64_t removed;
  syncline_string inserted;
};

struct trace {
  struct edit *edits;
  size_t count;
  syncline_string end;
};

static void fail(const char *what) {
  fprintf(stderr, "c_traces: %s\n", what);
  exit(1);
}

static void check(syncline_status status) {
  if (status < 0) fail(syncline_error_last()->message);
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double heap_in_use(void) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
  struct mallinfo2 info = mallinfo2();
  return (double)info.uordblks + (double)info.hblkhd;
#else
  return 0;
#endif
}

static char *read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  long size;
  char *content;
  if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) fail("the trace cannot be read");
  rewind(file);
  content = malloc((size_t)size + 1);
  if (!content || fread(content, 1, (size_t)size, file) != (size_t)size) fail("the trace cannot be read");
  content[size] = 0;
  fclose(file);
  return content;
}

/* Resolves \n, \r and \\ in place, up to the end of the line; *next is the line behind. */
static syncline_string unescaped(char *line, char **next) {
  char *from = line, *to = line;
  syncline_string text;
  while (*from && *from != '\n') {
    if (*from == '\\' && from[1]) {
      from++;
      *to++ = (char)(*from == 'n' ? '\n' : *from == 'r' ? '\r' : *from);
      from++;
    } else {
      *to++ = *from++;
    }
  }
  *next = *from ? from + 1 : from;
  text.data = line;
  text.len = (size_t)(to - line);
  return text;
}

static struct trace parsed(char *content) {
  struct trace trace = {0};
  size_t lines = 0;
  char *at;
  for (at = content; *at; at++) lines += *at == '\n';
  trace.edits = calloc(lines + 1, sizeof *trace.edits);
  if (!trace.edits) fail("out of memory");
  for (at = content; *at;) {
    if (strncmp(at, "end ", 4) == 0) {
      trace.end = unescaped(at + 4, &at);
      return trace;
    }
    struct edit *edit = &trace.edits[trace.count++];
    edit->at = strtoull(at, &at, 10);
    edit->removed = strtoull(at, &at, 10);
    if (*at != ' ') fail("a line is <position> <removed> <inserted>");
    edit->inserted = unescaped(at + 1, &at);
  }
  fail("the trace has no end line");
  return trace;
}

static double replay(const struct trace *trace, double *heap) {
  syncline_document *document = NULL;
  syncline_text *text = NULL;
  syncline_buffer content = {0};
  double before = heap_in_use(), start, time;
  size_t nth;
  start = milliseconds();
  check(syncline_document_new(NULL, &document));
  check(syncline_document_get_text(document, SYNCLINE_STR("text"), NULL, &text));
  for (nth = 0; nth < trace->count; nth++) {
    const struct edit *edit = &trace->edits[nth];
    if (edit->removed) check(syncline_text_remove(text, edit->at, edit->removed));
    if (edit->inserted.len) check(syncline_text_insert(text, edit->at, edit->inserted));
  }
  time = milliseconds() - start;
  *heap = heap_in_use() - before;
  check(syncline_text_to_string(text, &content));
  if (content.len != trace->end.len || memcmp(content.data, trace->end.data, content.len) != 0)
    fail("the text at the end differs");
  syncline_buffer_free(&content);
  syncline_text_free(text);
  syncline_document_free(document);
  return time;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  struct trace trace;
  double *times, heap = 0;
  int runs, run;
  if (argc != 3 || (runs = atoi(argv[2])) < 1) fail("usage: c_traces LINES RUNS");
  trace = parsed(read_file(argv[1]));
  times = calloc((size_t)runs, sizeof *times);
  if (!times) fail("out of memory");
  for (run = 0; run < runs; run++) times[run] = replay(&trace, &heap);
  qsort(times, (size_t)runs, sizeof *times, ascending);
  printf("%.2f %.2f\n", times[runs / 2], heap / 1e6);
  free(times);
  free(trace.edits);
  return 0;
}
