#include "check.h"

int main(void) {
  syncline_document *document = new_document();
  syncline_text *text = new_text(document, "body");
  OK(syncline_text_insert(text, 0, S("hi")));
  OK(syncline_text_insert(text, 2, S("!")));
  syncline_iterator *it = NULL;
  syncline_change *first = NULL, *second = NULL, *copy = NULL;
  OK(syncline_document_iterate_changes(document, NULL, &it));
  OK(syncline_iterator_next(it));
  CHECK(same(syncline_iterator_key(it), "body"));
  OK(syncline_iterator_change(it, &first));
  OK(syncline_iterator_next(it));
  OK(syncline_iterator_change(it, &second));
  EXPECT(SYNCLINE_END, syncline_iterator_next(it));
  syncline_iterator_free(it);

  syncline_operation_id id = syncline_change_id(first), dep = syncline_change_dep(second, 0);
  syncline_peer_id peer = syncline_change_author(first), own = syncline_document_peer_id(document);
  CHECK(syncline_peer_id_compare(&peer, &own) == 0);
  CHECK(syncline_change_clock(first) == syncline_operation_id_clock(&id));
  CHECK(syncline_change_dep_count(first) == 0 && syncline_change_dep_count(second) == 1);
  CHECK(syncline_operation_id_compare(&id, &dep) == 0);
  dep = syncline_change_dep(second, 1);
  CHECK(syncline_operation_id_clock(&dep) == 0);
  CHECK(same(syncline_change_handler_id(first), "body"));
  CHECK(same(syncline_change_handler_type(first), "CRDTFugueTextHandler"));
  CHECK(syncline_change_compare(first, second) < 0 && syncline_change_compare(first, first) == 0);

  syncline_buffer bytes = {0}, again = {0};
  OK(syncline_change_encode(second, &bytes));
  OK(syncline_change_decode(syncline_buffer_bytes(&bytes), &copy));
  CHECK(syncline_change_compare(second, copy) == 0);
  syncline_change_free(copy);
  copy = NULL;
  /* Joined from its parts it is the same. */
  id = syncline_change_id(second);
  dep = syncline_change_dep(second, 0);
  OK(syncline_change_new(&id, &dep, 1, syncline_change_payload(second), &copy));
  OK(syncline_change_encode(copy, &again));
  CHECK(bytes.len == again.len && memcmp(bytes.data, again.data, bytes.len) == 0);
  syncline_buffer_free(&again);
  for (size_t len = 0; len < bytes.len; len++) {
    syncline_change *none = NULL;
    EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_change_decode(B(bytes.data, len), &none));
    CHECK(none == NULL);
  }
  syncline_buffer_free(&bytes);

  syncline_value *json = NULL;
  OK(syncline_change_to_json(second, &bytes));
  OK(syncline_value_from_json(syncline_buffer_string(&bytes), &json));
  CHECK(same(syncline_value_get(syncline_value_get(json, S("handler")), S("id"))->data.string, "body"));
  syncline_value_free(json);
  syncline_buffer_free(&bytes);

  /* A payload that is no envelope has no handler. */
  syncline_change *odd = NULL;
  OK(syncline_change_new(&id, NULL, 0, B("\xff", 1), &odd));
  CHECK(syncline_change_handler_id(odd).len == 0 && syncline_change_handler_type(odd).len == 0);
  OK(syncline_change_to_json(odd, &bytes));
  syncline_buffer_free(&bytes);
  syncline_change_free(odd);

  syncline_change *bad[2] = {NULL, (syncline_change *)text}, *out = NULL;
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_change_encode(bad[i], &bytes));
    INVALID(syncline_change_to_json(bad[i], &bytes));
    id = syncline_change_id(bad[i]);
    CHECK(syncline_operation_id_clock(&id) == 0 && syncline_change_clock(bad[i]) == 0);
    peer = syncline_change_author(bad[i]);
    CHECK(peer.bytes[0] == 0 && syncline_change_dep_count(bad[i]) == 0);
    dep = syncline_change_dep(bad[i], 0);
    CHECK(syncline_change_payload(bad[i]).len == 0);
    CHECK(syncline_change_handler_id(bad[i]).len == 0 && syncline_change_handler_type(bad[i]).len == 0);
    CHECK(syncline_change_compare(bad[i], first) == 0);
    syncline_change_free(bad[i]);
  }
  INVALID(syncline_change_new(NULL, NULL, 0, no_bytes(), &out));
  INVALID(syncline_change_new(&id, NULL, 1, no_bytes(), &out));
  INVALID(syncline_change_new(&id, NULL, 0, bad_bytes(), &out));
  INVALID(syncline_change_new(&id, NULL, 0, no_bytes(), NULL));
  INVALID(syncline_change_decode(bad_bytes(), &out));
  INVALID(syncline_change_decode(no_bytes(), NULL));
  INVALID(syncline_change_encode(first, NULL));
  INVALID(syncline_change_to_json(first, NULL));
  CHECK(out == NULL);
  syncline_change_free(first);
  syncline_change_free(second);
  syncline_change_free(copy);
  syncline_text_free(text);
  syncline_document_free(document);
  return finish("change");
}
