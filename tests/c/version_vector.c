#include "check.h"

int main(void) {
  syncline_version_vector *a = NULL, *b = NULL, *c = NULL;
  syncline_peer_id one, two;
  syncline_hlc clock = 99;
  OK(syncline_peer_id_new(&one));
  OK(syncline_peer_id_new(&two));
  OK(syncline_version_vector_new(&a));
  CHECK(syncline_version_vector_length(a) == 0);
  EXPECT(SYNCLINE_NOT_FOUND, syncline_version_vector_get(a, &one, &clock));
  CHECK(clock == 99);
  OK(syncline_version_vector_set(a, &one, 10));
  OK(syncline_version_vector_set(a, &one, 5)); /* keeps the later one */
  OK(syncline_version_vector_get(a, &one, &clock));
  CHECK(clock == 10 && syncline_version_vector_length(a) == 1);
  OK(syncline_version_vector_copy(a, &b));
  CHECK(syncline_version_vector_equals(a, b));
  OK(syncline_version_vector_set(b, &two, 20));
  CHECK(!syncline_version_vector_equals(a, b));
  CHECK(syncline_version_vector_is_newer(b, a) && !syncline_version_vector_is_newer(a, b));
  CHECK(syncline_version_vector_is_strictly_newer_or_equal(b, a));
  CHECK(!syncline_version_vector_is_strictly_newer_or_equal(a, b));
  CHECK(!syncline_version_vector_is_strictly_newer(b, a));
  OK(syncline_version_vector_set(b, &one, 11));
  CHECK(syncline_version_vector_is_strictly_newer(b, a));
  syncline_peer_id peer;
  OK(syncline_version_vector_entry(b, 1, &peer, &clock));
  CHECK(syncline_peer_id_compare(&peer, &two) == 0 && clock == 20);
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_version_vector_entry(b, 2, &peer, &clock));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_version_vector_entry(b, UINT64_MAX, &peer, &clock));

  syncline_buffer bytes = {0};
  OK(syncline_version_vector_encode(b, &bytes));
  OK(syncline_version_vector_decode(syncline_buffer_bytes(&bytes), &c));
  CHECK(syncline_version_vector_equals(b, c));
  syncline_version_vector_free(c);
  c = NULL;
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_version_vector_decode(B(bytes.data, bytes.len - 1), &c));
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_version_vector_decode(no_bytes(), &c));
  CHECK(c == NULL);
  syncline_buffer_free(&bytes);

  const syncline_version_vector *both[2] = {b, a};
  OK(syncline_version_vector_intersect(both, 2, &c));
  CHECK(syncline_version_vector_length(c) == 1);
  OK(syncline_version_vector_get(c, &one, &clock));
  CHECK(clock == 10);
  syncline_version_vector_free(c);
  OK(syncline_version_vector_intersect(NULL, 0, &c));
  CHECK(syncline_version_vector_length(c) == 0);
  OK(syncline_version_vector_merge(c, b));
  OK(syncline_version_vector_merge(c, c));
  CHECK(syncline_version_vector_equals(c, b));
  OK(syncline_version_vector_remove(c, &one));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_version_vector_remove(c, &one));
  CHECK(syncline_version_vector_length(c) == 1);
  OK(syncline_version_vector_to_json(c, &bytes));
  syncline_value *json = NULL;
  OK(syncline_value_from_json(syncline_buffer_string(&bytes), &json));
  CHECK(json->type == SYNCLINE_VALUE_OBJECT && json->data.object.count == 1);
  syncline_value_free(json);
  syncline_buffer_free(&bytes);

  syncline_document *document = new_document();
  syncline_version_vector *bad[2] = {NULL, (syncline_version_vector *)document}, *out = NULL;
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_version_vector_copy(bad[i], &out));
    INVALID(syncline_version_vector_encode(bad[i], &bytes));
    CHECK(syncline_version_vector_length(bad[i]) == 0);
    INVALID(syncline_version_vector_get(bad[i], &one, &clock));
    INVALID(syncline_version_vector_set(bad[i], &one, 1));
    INVALID(syncline_version_vector_remove(bad[i], &one));
    INVALID(syncline_version_vector_entry(bad[i], 0, &peer, &clock));
    INVALID(syncline_version_vector_merge(bad[i], a));
    INVALID(syncline_version_vector_merge(a, bad[i]));
    both[1] = bad[i];
    INVALID(syncline_version_vector_intersect(both, 2, &out));
    CHECK(!syncline_version_vector_is_newer(a, bad[i]));
    CHECK(!syncline_version_vector_is_strictly_newer(bad[i], a));
    CHECK(!syncline_version_vector_is_strictly_newer_or_equal(a, bad[i]));
    CHECK(!syncline_version_vector_equals(bad[i], bad[i]));
    INVALID(syncline_version_vector_to_json(bad[i], &bytes));
    syncline_version_vector_free(bad[i]);
  }
  INVALID(syncline_version_vector_new(NULL));
  INVALID(syncline_version_vector_copy(a, NULL));
  INVALID(syncline_version_vector_decode(bad_bytes(), &out));
  INVALID(syncline_version_vector_decode(no_bytes(), NULL));
  INVALID(syncline_version_vector_encode(a, NULL));
  INVALID(syncline_version_vector_get(a, NULL, &clock));
  INVALID(syncline_version_vector_get(a, &one, NULL));
  INVALID(syncline_version_vector_set(a, NULL, 1));
  INVALID(syncline_version_vector_remove(a, NULL));
  INVALID(syncline_version_vector_entry(a, 0, NULL, &clock));
  INVALID(syncline_version_vector_entry(a, 0, &peer, NULL));
  INVALID(syncline_version_vector_intersect(NULL, 1, &out));
  INVALID(syncline_version_vector_intersect(NULL, 0, NULL));
  INVALID(syncline_version_vector_to_json(a, NULL));
  CHECK(out == NULL);
  syncline_document_free(document);
  syncline_version_vector_free(a);
  syncline_version_vector_free(b);
  syncline_version_vector_free(c);
  return finish("version_vector");
}
