#include "check.h"

static void *other_thread(void *argument) {
  (void)argument;
  CHECK(syncline_error_last()->status == SYNCLINE_OK);
  CHECK(syncline_error_last()->message[0] == 0);
  INVALID(syncline_document_new(NULL, NULL));
  return NULL;
}

int main(void) {
  const syncline_error *error = syncline_error_last();
  CHECK(error != NULL && error->status == SYNCLINE_OK && error->code == 0);
  CHECK(error->domain == SYNCLINE_ERROR_DOMAIN_NONE && error->message[0] == 0);

  /* Malformed input carries the byte offset. */
  syncline_value *value = NULL;
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_value_from_json(S("[1, x]"), &value));
  CHECK(value == NULL);
  error = syncline_error_last();
  CHECK(error->domain == SYNCLINE_ERROR_DOMAIN_OFFSET && error->code == 4);
  CHECK(strlen(error->message) > 0);

  /* Success leaves it alone, another thread has its own. */
  OK(syncline_library_check(SYNCLINE_ABI));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(syncline_error_last()->status == SYNCLINE_ERROR_MALFORMED);

  syncline_error_clear();
  CHECK(syncline_error_last()->status == SYNCLINE_OK);

  syncline_error_set(SYNCLINE_ERROR_FORBIDDEN, S("not today"));
  CHECK(syncline_error_last()->status == SYNCLINE_ERROR_FORBIDDEN);
  CHECK(strcmp(syncline_error_last()->message, "not today") == 0);
  syncline_error_set(SYNCLINE_OK, S("no error")); /* a hook that fails says so */
  CHECK(syncline_error_last()->status == SYNCLINE_ERROR_CALLBACK);
  syncline_error_set((syncline_status)-999, bad_utf8());
  CHECK(syncline_error_last()->status == SYNCLINE_ERROR_CALLBACK);
  syncline_error_set(SYNCLINE_ERROR_BUSY, bad_length());
  CHECK(syncline_error_last()->status == SYNCLINE_ERROR_BUSY);
  syncline_error_set(SYNCLINE_ERROR_BUSY, text_with_length("a\0b", 3));
  CHECK(strlen(syncline_error_last()->message) > 1);

  CHECK(strcmp(syncline_status_name(SYNCLINE_ERROR_BUSY), "SYNCLINE_ERROR_BUSY") == 0);
  CHECK(strcmp(syncline_status_name(SYNCLINE_END), "SYNCLINE_END") == 0);
  CHECK(strcmp(syncline_status_name((syncline_status)-999), "SYNCLINE_UNKNOWN") == 0);
  for (int number = -33; number <= 5; number++) {
    CHECK(strcmp(syncline_status_name((syncline_status)number), "SYNCLINE_UNKNOWN") != 0);
    CHECK(strlen(syncline_status_description((syncline_status)number)) > 3);
  }
  CHECK(strlen(syncline_status_description((syncline_status)1234)) > 3);
  syncline_error_clear();
  return finish("error");
}
