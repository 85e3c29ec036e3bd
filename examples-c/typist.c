#include "typist.h"
#include <stdlib.h>
#include <string.h>

/* A piece of the text that is typed in one go: a paragraph, or part of a long one. */
typedef struct passage {
  size_t start;
  size_t len;
  size_t typed;
} passage;

#define PASSAGE_BYTES_MAX 400
/* Letters that a slip puts in. */
static const char SLIPS[] = "etaoinshrdlu";
/* One in so many keystrokes begins ... */
enum { SLIP = 40, RETHINK = 90, TOUCH_UP = 250, REST = 14 };
/* One in so many passages is left for later; the typist comes back one time in RETURN. */
enum { SKIP = 4, RETURN = 3 };

struct typist {
  const char *text;
  uint64_t random;
  passage *passages; /* in the order of the text */
  size_t *order;     /* in the order of typing */
  size_t count;
  size_t now;          /* index in `order` */
  size_t before;       /* bytes typed of the passages in front of the present one */
  size_t typed;        /* bytes typed of all */
  size_t slip_len;     /* wrong letters that stand behind the cursor, ASCII */
  size_t slip_wanted;  /* wrong letters still to come */
  passage touched;     /* touch-up elsewhere: where, how long, 1 = to be put back */
};

/* xorshift64*: the same everywhere. */
static uint64_t below(typist *person, uint64_t bound) {
  uint64_t x = person->random;
  x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
  person->random = x;
  return (x * UINT64_C(2685821657736338717) >> 33) % bound;
}

static bool begins_character(char byte) { return ((unsigned char)byte & 0xC0) != 0x80; }

static size_t character_len(const char *at, const char *end) {
  const char *next = at + 1;
  while (next < end && !begins_character(*next)) next++;
  return (size_t)(next - at);
}

/* Where the passage that begins at `start` ends: behind an empty line, or where it gets long. */
static size_t passage_end(const char *text, size_t len, size_t start) {
  size_t end = start;
  while (end < len) {
    end++;
    if (end - start >= 2 && text[end - 1] == '\n' && text[end - 2] == '\n') break;
    if (end - start >= PASSAGE_BYTES_MAX && end < len && begins_character(text[end])) break;
  }
  return end;
}

static bool cut(typist *person, const char *text, size_t len) {
  size_t count = 0, at = 0;
  for (size_t start = 0; start < len; start = passage_end(text, len, start)) count++;
  person->passages = calloc(count + 1, sizeof *person->passages);
  person->order = calloc(count + 1, sizeof *person->order);
  if (!person->passages || !person->order) return false;
  for (size_t start = 0; start < len; at++) {
    size_t end = passage_end(text, len, start);
    person->passages[at].start = start;
    person->passages[at].len = end - start;
    start = end;
  }
  person->count = count;
  return true;
}

/* Decides which passages are left out and when they are filled in. */
static bool plan(typist *person) {
  size_t *left_out = calloc(person->count + 1, sizeof *left_out);
  size_t left_out_count = 0, at = 0;
  if (!left_out) return false;
  for (size_t next = 0; next < person->count; next++) {
    if (below(person, SKIP) == 0) {
      left_out[left_out_count++] = next;
      continue;
    }
    person->order[at++] = next;
    if (left_out_count > 0 && below(person, RETURN) == 0) {
      size_t which = below(person, left_out_count);
      person->order[at++] = left_out[which];
      left_out[which] = left_out[--left_out_count];
    }
  }
  while (left_out_count > 0) person->order[at++] = left_out[--left_out_count];
  free(left_out);
  return true;
}

typist *typist_new(const char *text, size_t len, uint64_t seed) {
  typist *person = calloc(1, sizeof *person);
  if (!person) return NULL;
  person->text = text;
  person->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1; /* never 0 for a useful seed */
  if (person->random == 0) person->random = 1;
  if (!cut(person, text, len) || !plan(person)) {
    typist_free(person);
    return NULL;
  }
  return person;
}

void typist_free(typist *person) {
  if (!person) return;
  free(person->passages);
  free(person->order);
  free(person);
}

size_t typist_typed(const typist *person) { return person->typed; }

static keystroke insertion(size_t index, const char *text, size_t len, unsigned rest) {
  return (keystroke){.index = index, .insert = text, .insert_len = len, .rest = rest};
}

static keystroke removal(size_t index, size_t len, unsigned rest) {
  return (keystroke){.index = index, .remove = len, .rest = rest};
}

static size_t typed_before(const typist *person, size_t which) {
  size_t before = 0;
  for (size_t i = 0; i < which; i++) before += person->passages[i].typed;
  return before;
}

/* Some characters of a finished passage are overtyped with the same: first they go ... */
static bool touch_up(typist *person, keystroke *out) {
  if (person->now == 0) return false;
  size_t which = person->order[below(person, person->now)];
  const passage *other = &person->passages[which];
  const char *end = person->text + other->start + other->len;
  size_t at = below(person, other->len), len = 0;
  while (at > 0 && !begins_character(person->text[other->start + at])) at--;
  for (uint64_t i = below(person, 8) + 1; i > 0 && at + len < other->len; i--) {
    const char *here = person->text + other->start + at + len;
    len += character_len(here, end);
  }
  person->touched = (passage){.start = other->start + at, .len = len, .typed = typed_before(person, which) + at};
  *out = removal(person->touched.typed, len, 3);
  return true;
}

/* ... and then they come back. */
static void put_back(typist *person, keystroke *out) {
  *out = insertion(person->touched.typed, person->text + person->touched.start, person->touched.len, REST);
  person->touched.len = 0;
}

/* Takes the last word of the passage back as a whole; it is typed again. */
static bool rethink(typist *person, passage *here, keystroke *out) {
  size_t from = here->typed;
  const char *start = person->text + here->start;
  while (from > 0 && (start[from - 1] == ' ' || start[from - 1] == '\n')) from--;
  while (from > 0 && start[from - 1] != ' ' && start[from - 1] != '\n') from--;
  size_t len = here->typed - from;
  if (len == 0) return false;
  here->typed = from;
  person->typed -= len;
  *out = removal(person->before + from, len, REST);
  return true;
}

static void type_character(typist *person, passage *here, keystroke *out) {
  const char *at = person->text + here->start + here->typed;
  size_t len = character_len(at, person->text + here->start + here->len);
  unsigned rest = below(person, REST) == 0 || *at == '\n' ? REST : 1;
  *out = insertion(person->before + here->typed, at, len, rest);
  here->typed += len;
  person->typed += len;
}

bool typist_next(typist *person, keystroke *out) {
  if (person->touched.len > 0) return put_back(person, out), true;
  if (person->now == person->count) return false;
  passage *here = &person->passages[person->order[person->now]];
  size_t cursor = person->before + here->typed + person->slip_len;
  if (person->slip_wanted > 0) {
    person->slip_wanted--, person->slip_len++;
    *out = insertion(cursor, SLIPS + below(person, sizeof SLIPS - 1), 1, 1);
    return true;
  }
  if (person->slip_len > 0) {
    person->slip_len--;
    *out = removal(cursor - 1, 1, 1);
    return true;
  }
  if (here->typed == here->len) {
    person->now++;
    if (person->now < person->count) person->before = typed_before(person, person->order[person->now]);
    return typist_next(person, out);
  }
  if (below(person, SLIP) == 0) person->slip_wanted = 1 + below(person, 3);
  if (below(person, RETHINK) == 0 && rethink(person, here, out)) return true;
  if (below(person, TOUCH_UP) == 0 && touch_up(person, out)) return true;
  type_character(person, here, out);
  return true;
}
