#include "check.h"

int main(void) {
  syncline_document *document = new_document();
  syncline_map *map = new_map(document, "map");
  syncline_value one = int_value(1), two = int_value(2);
  OK(syncline_map_set(map, S("a"), &one));
  OK(syncline_map_set(map, S("b"), &two));

  syncline_iterator *it = NULL;
  OK(syncline_map_iterate(map, &it));
  /* Edits, and the end of everything else, do not disturb it. */
  OK(syncline_map_remove(map, S("a")));
  syncline_map_free(map);
  syncline_document_free(document);

  CHECK(syncline_iterator_remaining(it) == 2 && syncline_iterator_index(it) == 0);
  CHECK(syncline_iterator_key(it).len == 0 && syncline_iterator_value(it) == NULL);
  syncline_handler *handler = NULL;
  syncline_change *change = NULL;
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_iterator_handler(it, &handler));

  OK(syncline_iterator_next(it));
  CHECK(same(syncline_iterator_key(it), "a"));
  const syncline_value *borrowed = syncline_iterator_value(it);
  CHECK(value_is(borrowed, "1"));
  CHECK(syncline_iterator_index(it) == 0 && syncline_iterator_remaining(it) == 1);
  CHECK(syncline_iterator_bytes(it).len == 0);
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_iterator_handler(it, &handler));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_iterator_change(it, &change));
  INVALID(syncline_iterator_handler(it, NULL));
  INVALID(syncline_iterator_change(it, NULL));

  OK(syncline_iterator_next(it));
  CHECK(same(syncline_iterator_key(it), "b") && value_is(syncline_iterator_value(it), "2"));
  CHECK(syncline_iterator_index(it) == 1 && syncline_iterator_remaining(it) == 0);
  for (int i = 0; i < 3; i++) EXPECT(SYNCLINE_END, syncline_iterator_next(it));
  CHECK(syncline_iterator_key(it).len == 0 && syncline_iterator_value(it) == NULL);
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_iterator_change(it, &change));
  syncline_iterator_free(it);
  CHECK(handler == NULL && change == NULL);

  /* NULL and a handle of another kind. */
  document = new_document();
  syncline_iterator *wrong = (syncline_iterator *)document;
  syncline_iterator *bad[2] = {NULL, wrong};
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_iterator_next(bad[i]));
    CHECK(syncline_iterator_remaining(bad[i]) == 0 && syncline_iterator_index(bad[i]) == 0);
    CHECK(syncline_iterator_key(bad[i]).len == 0 && syncline_iterator_bytes(bad[i]).len == 0);
    CHECK(syncline_iterator_value(bad[i]) == NULL);
    INVALID(syncline_iterator_handler(bad[i], &handler));
    INVALID(syncline_iterator_change(bad[i], &change));
  }
  syncline_iterator_free(wrong); /* remembered as an error, nothing happens */
  CHECK(syncline_error_last()->status == SYNCLINE_ERROR_INVALID_ARGUMENT);
  CHECK(!syncline_document_is_closed(document));
  syncline_iterator_free(NULL);
  syncline_document_free(document);
  return finish("iterator");
}
