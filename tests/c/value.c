#include "check.h"

static void json_round_trip(const char *json) {
  syncline_value *value = NULL, *copy = NULL;
  OK(syncline_value_from_json(S(json), &value));
  CHECK(value_is(value, json));
  OK(syncline_value_copy(value, &copy));
  CHECK(syncline_value_equals(value, copy));
  syncline_value_free(value);
  CHECK(take_value_is(copy, json));
}

int main(void) {
  json_round_trip("null");
  json_round_trip("true");
  json_round_trip("-9223372036854775808");
  json_round_trip("1.5");
  json_round_trip("1.0");
  json_round_trip("\"h\\u0000\xc3\xa9\xf0\x9f\x98\x80\"");
  json_round_trip("[]");
  json_round_trip("{\"b\":[1,2.0,{\"\":null}],\"a\":\"x\"}");

  /* A literal without allocation. */
  syncline_value items[2] = {int_value(1), string_value("two")};
  syncline_value list = plain_value(SYNCLINE_VALUE_ARRAY);
  list.data.array.items = items;
  list.data.array.count = 2;
  syncline_string keys[2] = {SYNCLINE_STR("list"), SYNCLINE_STR("yes")};
  syncline_value fields[2] = {list, plain_value(SYNCLINE_VALUE_BOOL)};
  fields[1].data.boolean = true;
  syncline_value object = plain_value(SYNCLINE_VALUE_OBJECT);
  object.data.object.keys = keys;
  object.data.object.values = fields;
  object.data.object.count = 2;
  CHECK(value_is(&object, "{\"list\":[1,\"two\"],\"yes\":true}"));
  CHECK(syncline_value_get(&object, S("yes")) == &fields[1]);
  CHECK(syncline_value_get(&object, S("no")) == NULL);
  CHECK(syncline_value_get(&list, S("yes")) == NULL);
  CHECK(syncline_value_get(NULL, S("yes")) == NULL);
  CHECK(syncline_value_get(&object, bad_utf8()) == NULL);
  CHECK(syncline_value_get(&object, bad_length()) == NULL);

  /* All types survive a copy, also those JSON does not have. */
  syncline_value all[6] = {plain_value(SYNCLINE_VALUE_UNDEFINED), plain_value(SYNCLINE_VALUE_BIGINT),
                           bytes_value("\0\xff", 2),              plain_value(SYNCLINE_VALUE_REF),
                           plain_value(SYNCLINE_VALUE_DOUBLE),    plain_value(SYNCLINE_VALUE_NULL)};
  all[1].data.integer = 7;
  all[3].data.string = SYNCLINE_STR("id");
  all[3].ref_type = SYNCLINE_STR("type");
  all[4].data.number = 0.0 / 0.0;
  syncline_value *copy = NULL;
  for (int i = 0; i < 6; i++) {
    copy = NULL;
    OK(syncline_value_copy(&all[i], &copy));
    CHECK(copy->type == all[i].type && syncline_value_equals(copy, &all[i]));
    for (int j = 0; j < 6; j++) CHECK(syncline_value_equals(copy, &all[j]) == (i == j));
    syncline_value_free(copy);
  }
  OK(syncline_value_copy(&all[2], &copy));
  CHECK(copy->data.bytes.len == 2 && copy->data.bytes.data[1] == 0xff);
  syncline_value_free(copy);
  OK(syncline_value_copy(&all[3], &copy));
  CHECK(same(copy->data.string, "id") && same(copy->ref_type, "type"));
  syncline_value_free(copy);

  /* Integers and doubles differ, the order of keys does not matter. */
  syncline_value *a = NULL, *b = NULL;
  OK(syncline_value_from_json(S("{\"x\":1,\"y\":2}"), &a));
  OK(syncline_value_from_json(S("{\"y\":2,\"x\":1}"), &b));
  CHECK(syncline_value_equals(a, b));
  syncline_value_free(b);
  OK(syncline_value_from_json(S("{\"y\":2,\"x\":1.0}"), &b));
  CHECK(!syncline_value_equals(a, b));
  CHECK(!syncline_value_equals(a, NULL) && !syncline_value_equals(NULL, NULL));
  syncline_value_free(a);
  syncline_value_free(b);
  syncline_value_free(NULL);

  /* What is not valid is refused and writes nothing. */
  copy = NULL;
  syncline_buffer text = {0};
  syncline_value bad = plain_value(99);
  INVALID(syncline_value_copy(&bad, &copy));
  bad = plain_value(SYNCLINE_VALUE_SHARED); /* results only */
  INVALID(syncline_value_copy(&bad, &copy));
  bad = plain_value(SYNCLINE_VALUE_NULL);
  bad.flags = 1;
  INVALID(syncline_value_copy(&bad, &copy));
  bad = plain_value(SYNCLINE_VALUE_STRING);
  bad.data.string = bad_utf8();
  INVALID(syncline_value_copy(&bad, &copy));
  bad.data.string = bad_length();
  INVALID(syncline_value_copy(&bad, &copy));
  bad = plain_value(SYNCLINE_VALUE_ARRAY);
  bad.data.array.count = 1;
  INVALID(syncline_value_copy(&bad, &copy));
  keys[1] = keys[0];
  INVALID(syncline_value_copy(&object, &copy)); /* a key twice */
  INVALID(syncline_value_copy(NULL, &copy));
  INVALID(syncline_value_copy(&list, NULL));
  syncline_value circle = plain_value(SYNCLINE_VALUE_ARRAY);
  circle.data.array.items = &circle;
  circle.data.array.count = 1;
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_value_copy(&circle, &copy));
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_value_to_json(&circle, &text));
  CHECK(!syncline_value_equals(&circle, &circle));
  CHECK(copy == NULL);

  for (int i = 0; i < 2; i++) EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_value_to_json(&all[i], &text));
  INVALID(syncline_value_to_json(&all[2], &text));
  OK(syncline_value_to_json(&all[3], &text));
  CHECK(take_equals(&text, "{\"type\":\"type\",\"id\":\"id\"}"));
  INVALID(syncline_value_to_json(&all[4], &text));
  INVALID(syncline_value_to_json(NULL, &text));
  INVALID(syncline_value_to_json(&list, NULL));
  CHECK(text.data == NULL);

  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_value_from_json(S("{\"a\":}"), &copy));
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_value_from_json(S(""), &copy));
  INVALID(syncline_value_from_json(bad_utf8(), &copy));
  INVALID(syncline_value_from_json(S("1"), NULL));
  char deep[400];
  memset(deep, '[', sizeof deep);
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_value_from_json(text_with_length(deep, sizeof deep), &copy));
  CHECK(copy == NULL);
  return finish("value");
}
