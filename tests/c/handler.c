#include "check.h"

int main(void) {
  syncline_document *document = new_document();
  syncline_map *map = new_map(document, "m");
  syncline_value one = int_value(1);
  OK(syncline_map_set(map, S("k"), &one));
  syncline_handler *handler = NULL, *second = NULL;
  OK(syncline_map_as_handler(map, &handler));
  second = syncline_handler_retain(handler);
  CHECK(second == handler);
  CHECK(syncline_handler_get_kind(handler) == SYNCLINE_HANDLER_MAP);
  CHECK(same(syncline_handler_id(handler), "m") && same(syncline_handler_type_name(handler), "CRDTMapHandler<dynamic>"));
  CHECK(syncline_handler_change_count(handler) == 1);
  uint64_t revision = syncline_handler_revision(handler);
  OK(syncline_map_set(map, S("l"), &one));
  CHECK(syncline_handler_revision(handler) > revision && syncline_handler_change_count(handler) == 2);

  syncline_document *same_document = NULL;
  OK(syncline_handler_document(handler, &same_document));
  CHECK(syncline_document_change_count(same_document) == 2);
  syncline_document_free(same_document);

  syncline_iterator *it = NULL;
  OK(syncline_handler_iterate_changes(handler, NULL, &it));
  CHECK(syncline_iterator_remaining(it) == 2);
  syncline_iterator_free(it);
  syncline_version_vector *seen = NULL;
  OK(syncline_document_version_vector(document, &seen));
  OK(syncline_handler_iterate_changes(handler, seen, &it));
  CHECK(syncline_iterator_remaining(it) == 0);
  syncline_iterator_free(it);
  it = NULL;
  syncline_version_vector_free(seen);

  syncline_buffer out = {0};
  syncline_value *value = NULL;
  OK(syncline_handler_snapshot_state(handler, &out));
  CHECK(out.len > 0);
  syncline_buffer_free(&out);
  OK(syncline_handler_to_json(handler, false, &out));
  CHECK(take_equals(&out, "{\"k\":1,\"l\":1}"));
  OK(syncline_handler_to_json(handler, true, &out));
  CHECK(take_equals(&out, "{\"k\":1,\"l\":1}"));
  OK(syncline_handler_to_value(handler, false, &value));
  CHECK(take_value_is(value, "{\"k\":1,\"l\":1}"));
  value = NULL;

  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_handler_subscribe(handler, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_map_remove(map, S("l")));
  syncline_event_free(next_event(queue, SYNCLINE_EVENT_CHANGE));
  syncline_subscription_free(subscription);
  subscription = NULL;

  /* As the typed kind, and as no other. */
  syncline_map *as_map = NULL;
  syncline_text *as_text = NULL;
  syncline_set *as_set = NULL;
  syncline_register *as_register = NULL;
  OK(syncline_handler_as_map(handler, &as_map));
  CHECK(syncline_map_contains(as_map, S("k")));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_handler_as_text(handler, &as_text));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_handler_as_set(handler, &as_set));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_handler_as_register(handler, &as_register));
  syncline_handler *of_text = NULL;
  syncline_text *text = new_text(document, "t");
  OK(syncline_text_as_handler(text, &of_text));
  CHECK(syncline_handler_get_kind(of_text) == SYNCLINE_HANDLER_FUGUE_TEXT);
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_handler_as_map(of_text, &as_map));
  OK(syncline_handler_as_text(of_text, &as_text));
  syncline_text_free(as_text);
  as_text = NULL;
  syncline_handler_free(of_text);
  syncline_text_free(text);
  syncline_set *set = NULL;
  syncline_register *reg = NULL;
  OK(syncline_document_get_set(document, S("s"), NULL, &set));
  OK(syncline_document_get_register(document, S("r"), NULL, &reg));
  syncline_handler *of_set = NULL, *of_register = NULL;
  OK(syncline_set_as_handler(set, &of_set));
  OK(syncline_register_as_handler(reg, &of_register));
  CHECK(syncline_handler_get_kind(of_set) == SYNCLINE_HANDLER_OR_SET);
  CHECK(syncline_handler_get_kind(of_register) == SYNCLINE_HANDLER_REGISTER);
  OK(syncline_handler_as_set(of_set, &as_set));
  OK(syncline_handler_as_register(of_register, &as_register));
  syncline_set_free(set);
  syncline_register_free(reg);
  syncline_set_free(as_set);
  syncline_register_free(as_register);
  syncline_handler_free(of_set);
  syncline_handler_free(of_register);

  syncline_handler *bad[2] = {NULL, (syncline_handler *)document};
  as_text = NULL;
  as_set = NULL;
  as_register = NULL;
  same_document = NULL;
  syncline_map *none = NULL;
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_handler_retain(bad[i]) == NULL);
    CHECK(syncline_handler_get_kind(bad[i]) == SYNCLINE_HANDLER_CUSTOM);
    CHECK(syncline_handler_id(bad[i]).len == 0 && syncline_handler_type_name(bad[i]).len == 0);
    INVALID(syncline_handler_document(bad[i], &same_document));
    CHECK(syncline_handler_revision(bad[i]) == 0 && syncline_handler_change_count(bad[i]) == 0);
    INVALID(syncline_handler_iterate_changes(bad[i], NULL, &it));
    INVALID(syncline_handler_snapshot_state(bad[i], &out));
    INVALID(syncline_handler_to_json(bad[i], false, &out));
    INVALID(syncline_handler_to_value(bad[i], false, &value));
    INVALID(syncline_handler_subscribe(bad[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_handler_as_text(bad[i], &as_text));
    INVALID(syncline_handler_as_map(bad[i], &none));
    INVALID(syncline_handler_as_set(bad[i], &as_set));
    INVALID(syncline_handler_as_register(bad[i], &as_register));
    syncline_handler_free(bad[i]);
  }
  INVALID(syncline_handler_document(handler, NULL));
  INVALID(syncline_handler_iterate_changes(handler, NULL, NULL));
  INVALID(syncline_handler_iterate_changes(handler, (syncline_version_vector *)document, &it));
  INVALID(syncline_handler_snapshot_state(handler, NULL));
  INVALID(syncline_handler_to_json(handler, false, NULL));
  INVALID(syncline_handler_to_value(handler, false, NULL));
  INVALID(syncline_handler_subscribe(handler, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), NULL));
  INVALID(syncline_handler_as_text(handler, NULL));
  INVALID(syncline_handler_as_map(handler, NULL));
  INVALID(syncline_handler_as_set(handler, NULL));
  INVALID(syncline_handler_as_register(handler, NULL));
  CHECK(!it && !out.data && !value && !subscription && !as_text && !none && !as_set && !as_register && !same_document);

  syncline_map_free(as_map);
  syncline_map_free(map);
  syncline_queue_free(queue);
  syncline_document_free(document);
  CHECK(same(syncline_handler_id(second), "m")); /* the parts keep the whole alive */
  CHECK(syncline_handler_change_count(second) == 3);
  syncline_handler_free(handler);
  syncline_handler_free(second);
  return finish("handler");
}
