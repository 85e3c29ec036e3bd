/* The parts of collab that have nothing to do with Syncline: text, checksum, arguments. */
#include "collab.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
  if (memory) return memory;
  fputs("collab: no memory\n", stderr);
  exit(1);
}

void text_splice(text *t, size_t at, size_t remove, const char *insert, size_t insert_len) {
  size_t len = t->len - remove + insert_len;
  if (len + 1 > t->capacity) {
    t->capacity = len * 2 + 64;
    t->data = must(realloc(t->data, t->capacity));
  }
  memmove(t->data + at + insert_len, t->data + at + remove, t->len - at - remove);
  if (insert_len > 0) memcpy(t->data + at, insert, insert_len);
  t->len = len;
}

text text_of_file(const char *path) {
  text content = {0};
  char part[4096];
  FILE *file = fopen(path, "rb");
  size_t read;
  if (!file) {
    perror(path);
    exit(1);
  }
  text_splice(&content, 0, 0, NULL, 0); /* never NULL */
  while ((read = fread(part, 1, sizeof part, file)) > 0) text_splice(&content, content.len, 0, part, read);
  if (ferror(file)) {
    perror(path);
    exit(1);
  }
  fclose(file);
  return content;
}

static uint32_t cksum_byte(uint32_t sum, uint8_t byte) {
  sum ^= (uint32_t)byte << 24;
  for (int bit = 0; bit < 8; bit++) sum = sum & 0x80000000u ? sum << 1 ^ 0x04C11DB7u : sum << 1;
  return sum;
}

uint32_t cksum(const uint8_t *data, size_t len) {
  uint32_t sum = 0;
  for (size_t i = 0; i < len; i++) sum = cksum_byte(sum, data[i]);
  for (size_t rest = len; rest > 0; rest >>= 8) sum = cksum_byte(sum, (uint8_t)rest);
  return ~sum;
}

static bool number(const char *argument, double *out) {
  char *end;
  *out = strtod(argument, &end);
  return end != argument && *end == '\0' && *out >= 0 && *out < 1e9;
}

/* Takes one option with its value; returns how many arguments it was, 0 if it is not understood. */
static int take_option(options *out, char **argument) {
  double value = 0;
  if (strcmp(argument[0], "--gzip") == 0) return out->gzip = true;
  if (strcmp(argument[0], "--print") == 0) return out->print = true;
  if (!argument[1]) return 0;
  if (strcmp(argument[0], "--name") == 0) return out->name = argument[1], 2;
  if (strcmp(argument[0], "--store") == 0) return out->store = argument[1], 2;
  if (!number(argument[1], &value)) return 0;
  if (strcmp(argument[0], "--seed") == 0) return out->seed = (uint64_t)value, 2;
  if (strcmp(argument[0], "--duration") == 0) return out->duration_s = value, 2;
  if (strcmp(argument[0], "--timeout") == 0) return out->timeout_s = (long)value, 2;
  return 0;
}

bool options_parse(options *out, int argc, char **argv) {
  memset(out, 0, sizeof *out);
  out->seed = 1;
  out->duration_s = 10;
  if (argc < 4) return false;
  bool types = strcmp(argv[3], "type") == 0;
  if (!types && strcmp(argv[3], "watch") != 0) return false;
  if (types && argc < 5) return false;
  out->url = argv[1];
  out->room = argv[2];
  out->file = types ? argv[4] : NULL;
  out->name = argv[3];
  for (char **next = argv + (types ? 5 : 4); *next;) {
    int taken = take_option(out, next);
    if (taken == 0) return false;
    next += taken;
  }
  return true;
}
