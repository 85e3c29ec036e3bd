#include "check.h"

int main(void) {
  syncline_document *document = new_document();
  syncline_map *map = new_map(document, "m"), *again = syncline_map_retain(map);
  CHECK(again == map && syncline_map_length(map) == 0);
  syncline_value one = int_value(1), text = string_value("x"), *value = &one;
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_get(map, S("k"), &value));
  CHECK(value == NULL);
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_update(map, S("k"), &one));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_remove(map, S("k")));
  CHECK(syncline_document_is_empty(document));
  OK(syncline_map_set(map, S("k"), &one));
  OK(syncline_map_set(map, text_with_length("a\0b", 3), &text));
  OK(syncline_map_set(map, S(""), &text));
  CHECK(syncline_map_length(map) == 3 && syncline_map_contains(map, S("k")));
  CHECK(syncline_map_contains(map, text_with_length("a\0b", 3)) && !syncline_map_contains(map, S("a")));
  OK(syncline_map_update(map, S("k"), &text));
  OK(syncline_map_get(map, S("k"), &value));
  CHECK(take_value_is(value, "\"x\""));
  OK(syncline_map_remove(map, S("k")));
  CHECK(!syncline_map_contains(map, S("k")) && syncline_map_length(map) == 2);

  /* Values of every JSON type come back as they were. */
  const char *values[] = {"null", "true", "-5", "2.0", "\"\\u0000\"", "[1,[2,{}]]", "{\"b\":1,\"a\":{\"c\":null}}"};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    syncline_value *given = NULL, *got = NULL;
    OK(syncline_value_from_json(S(values[i]), &given));
    OK(syncline_map_set(map, S("v"), given));
    OK(syncline_map_get(map, S("v"), &got));
    CHECK(syncline_value_equals(given, got));
    CHECK(take_value_is(got, values[i]));
    syncline_value_free(given);
  }
  value = NULL;
  OK(syncline_map_remove(map, S("v")));
  OK(syncline_map_remove(map, S("")));
  OK(syncline_map_to_value(map, true, &value));
  CHECK(take_value_is(value, "{\"a\\u0000b\":\"x\"}"));
  value = NULL;
  syncline_iterator *it = NULL;
  OK(syncline_map_iterate(map, &it));
  OK(syncline_iterator_next(it));
  CHECK(syncline_iterator_key(it).len == 3 && value_is(syncline_iterator_value(it), "\"x\""));
  syncline_iterator_free(it);
  it = NULL;

  /* What the codec cannot store changes nothing. */
  syncline_value bytes = bytes_value("\0\1", 2), undefined = plain_value(SYNCLINE_VALUE_UNDEFINED);
  syncline_value nan = plain_value(SYNCLINE_VALUE_DOUBLE), bad = plain_value(77);
  nan.data.number = 0.0 / 0.0;
  INVALID(syncline_map_set(map, S("k"), &bytes));
  INVALID(syncline_map_set(map, S("k"), &nan));
  INVALID(syncline_map_set(map, S("k"), &bad));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_map_set(map, S("k"), &undefined));
  CHECK(!syncline_map_contains(map, S("k")));

  syncline_map *raw = NULL;
  OK(syncline_document_get_map(document, S("raw"), SYNCLINE_OPTIONS(syncline_handler_options, .codec = SYNCLINE_CODEC_BYTES), &raw));
  OK(syncline_map_set(raw, S("k"), &bytes));
  OK(syncline_map_get(raw, S("k"), &value));
  CHECK(syncline_value_equals(value, &bytes));
  syncline_value_free(value);
  value = NULL;
  INVALID(syncline_map_set(raw, S("k"), &one));
  syncline_buffer json = {0};
  INVALID(syncline_document_to_json(document, &json)); /* JSON has no bytes */
  CHECK(json.data == NULL);

  syncline_handler *handler = NULL;
  OK(syncline_map_as_handler(map, &handler));
  CHECK(same(syncline_handler_id(handler), "m"));
  syncline_handler_free(handler);
  handler = NULL;
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_map_subscribe(map, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_map_set(map, S("k"), &one));
  OK(syncline_map_set(raw, S("k"), &bytes)); /* another handler: no event */
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 1 && same(info.targets[0].id, "m") && same(info.targets[0].map_ops[0].key, "k"));
  syncline_event_free(event);
  CHECK(syncline_queue_length(queue) == 0);
  syncline_subscription_free(subscription);
  subscription = NULL;

  syncline_map *wrong[2] = {NULL, (syncline_map *)document};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_map_retain(wrong[i]) == NULL && syncline_map_length(wrong[i]) == 0);
    CHECK(!syncline_map_contains(wrong[i], S("k")));
    INVALID(syncline_map_as_handler(wrong[i], &handler));
    INVALID(syncline_map_subscribe(wrong[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_map_get(wrong[i], S("k"), &value));
    INVALID(syncline_map_set(wrong[i], S("k"), &one));
    INVALID(syncline_map_update(wrong[i], S("k"), &one));
    INVALID(syncline_map_remove(wrong[i], S("k")));
    INVALID(syncline_map_iterate(wrong[i], &it));
    INVALID(syncline_map_to_value(wrong[i], false, &value));
    syncline_map_free(wrong[i]);
  }
  INVALID(syncline_map_as_handler(map, NULL));
  INVALID(syncline_map_get(map, S("k"), NULL));
  INVALID(syncline_map_get(map, bad_utf8(), &value));
  CHECK(!syncline_map_contains(map, bad_length()));
  INVALID(syncline_map_set(map, bad_utf8(), &one));
  INVALID(syncline_map_set(map, S("k"), NULL));
  INVALID(syncline_map_update(map, S("k"), NULL));
  INVALID(syncline_map_update(map, bad_length(), &one));
  INVALID(syncline_map_remove(map, bad_length()));
  INVALID(syncline_map_iterate(map, NULL));
  INVALID(syncline_map_to_value(map, false, NULL));
  CHECK(!handler && !subscription && !value && !it);
  syncline_queue_free(queue);
  syncline_map_free(raw);
  syncline_document_free(document);
  CHECK(syncline_map_length(again) == 2);
  syncline_map_free(map);
  syncline_map_free(again);
  return finish("map");
}
