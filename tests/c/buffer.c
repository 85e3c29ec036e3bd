#include "check.h"

int main(void) {
  syncline_buffer buffer;
  OK(syncline_buffer_new(B("a\0b", 3), &buffer));
  CHECK(buffer.len == 3 && memcmp(buffer.data, "a\0b", 4) == 0);
  CHECK(syncline_buffer_bytes(&buffer).data == buffer.data);
  CHECK(syncline_buffer_bytes(&buffer).len == 3);
  CHECK(syncline_buffer_string(&buffer).len == 3);

  syncline_buffer *boxed = NULL;
  INVALID(syncline_buffer_box(&buffer, NULL));
  INVALID(syncline_buffer_box(NULL, &boxed));
  CHECK(buffer.len == 3);
  OK(syncline_buffer_box(&buffer, &boxed));
  CHECK(buffer.data == NULL && buffer.len == 0);
  CHECK(boxed->len == 3 && boxed->data[2] == 'b');
  syncline_buffer_free_pointer(boxed);
  syncline_buffer_free_pointer(NULL);

  syncline_buffer_free(&buffer); /* empty by now */
  syncline_buffer_free(&buffer);
  syncline_buffer_free(NULL);

  OK(syncline_buffer_new(no_bytes(), &buffer));
  CHECK(buffer.len == 0 && buffer.data != NULL && buffer.data[0] == 0);
  syncline_buffer_free(&buffer);
  CHECK(buffer.data == NULL);

  INVALID(syncline_buffer_new(B("a", 1), NULL));
  INVALID(syncline_buffer_new(bad_bytes(), &buffer));
  INVALID(syncline_buffer_new(B("a", SIZE_MAX), &buffer));
  CHECK(syncline_buffer_bytes(NULL).len == 0);
  CHECK(syncline_buffer_string(NULL).len == 0);

  CHECK(syncline_str(NULL).len == 0);
  CHECK(same(syncline_str("abc"), "abc"));
  CHECK(same(SYNCLINE_STR("abc"), "abc"));
  return finish("buffer");
}
