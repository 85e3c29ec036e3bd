/* Types a given text as a person would: in bursts, with slips taken back, words thought over, and
 * paragraphs left out and filled in later. What is typed in the end is the given text, exactly.
 * The same seed gives the same keystrokes. */
#ifndef TYPIST_H
#define TYPIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct typist typist;

/* At `index` (in bytes) `remove` bytes go and `insert` comes; exactly one of the two happens. */
typedef struct keystroke {
  size_t index;
  size_t remove;
  const char *insert;
  size_t insert_len;
  /* How long the typist rests afterwards, compared to 1 between the letters of a burst. */
  unsigned rest;
} keystroke;

/* `text` must be UTF-8 and stay valid. NULL: no memory. */
typist *typist_new(const char *text, size_t len, uint64_t seed);
void typist_free(typist *person);

/* The next keystroke, or false when everything is typed. */
bool typist_next(typist *person, keystroke *out);

/* Bytes of the text typed so far. */
size_t typist_typed(const typist *person);

#endif
