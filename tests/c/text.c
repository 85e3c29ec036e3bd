#include "check.h"

#define EURO "\xe2\x82\xac"            /* 3 bytes, 1 unit, 1 code point */
#define GRIN "\xf0\x9f\x98\x80"        /* 4 bytes, 2 units, 1 code point */

static void edits(syncline_handler_kind kind) {
  syncline_document *document = new_document();
  syncline_text *text = new_text_of(document, "t", kind), *again = syncline_text_retain(text);
  CHECK(again == text && syncline_text_length(text) == 0);
  OK(syncline_text_insert(text, 0, S("")));
  OK(syncline_text_remove(text, 0, 0));
  OK(syncline_text_update(text, 0, S("")));
  OK(syncline_text_splice(text, 0, 0, S("")));
  CHECK(syncline_document_is_empty(document));
  OK(syncline_text_insert(text, 0, S("hello")));
  OK(syncline_text_insert(text, 5, text_with_length(" w\0rld", 6)));
  CHECK(syncline_text_length(text) == 11);
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_insert(text, 12, S("x")));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_insert(text, UINT64_MAX, S("x")));
  OK(syncline_text_update(text, 7, S("o")));
  CHECK(text_is(text, "hello world"));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_update(text, 10, S("xy")));
  OK(syncline_text_remove(text, 0, 0));
  OK(syncline_text_remove(text, 5, 6));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_remove(text, 5, 1));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_remove(text, 3, UINT64_MAX));
  CHECK(text_is(text, "hello"));
  OK(syncline_text_splice(text, 1, 3, S("ipp")));
  OK(syncline_text_splice(text, 5, 0, S("!")));
  CHECK(text_is(text, "hippo!"));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_splice(text, 5, 2, S("?")));
  OK(syncline_text_set_string(text, S("the hippos")));
  CHECK(text_is(text, "the hippos"));
  OK(syncline_text_set_string(text, S("")));
  CHECK(syncline_text_length(text) == 0);

  /* A splice inside of a transaction joins it. */
  OK(syncline_document_begin(document, no_bytes()));
  OK(syncline_text_splice(text, 0, 0, S("abc")));
  OK(syncline_text_splice(text, 1, 1, S("B")));
  OK(syncline_document_rollback(document));
  CHECK(syncline_text_length(text) == 0);

  syncline_text_op ops[4];
  memset(ops, 0, sizeof ops);
  ops[0].kind = SYNCLINE_OP_INSERT;
  ops[0].text = SYNCLINE_STR("abcdef");
  OK(syncline_text_apply_delta(text, ops, 1));
  ops[0].kind = SYNCLINE_OP_RETAIN;
  ops[0].length = 1;
  ops[1].kind = SYNCLINE_OP_REMOVE;
  ops[1].length = 2;
  ops[2].kind = SYNCLINE_OP_INSERT;
  ops[2].text = SYNCLINE_STR("XY");
  ops[3].kind = SYNCLINE_OP_RETAIN;
  ops[3].length = 3;
  OK(syncline_text_apply_delta(text, ops, 4));
  CHECK(text_is(text, "aXYdef"));
  ops[3].length = 4;
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_apply_delta(text, ops, 4));
  ops[3].length = UINT64_MAX;
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_apply_delta(text, ops, 4));
  ops[3].length = 0;
  ops[3].kind = SYNCLINE_OP_MOVE;
  INVALID(syncline_text_apply_delta(text, ops, 4));
  ops[3].kind = SYNCLINE_OP_INSERT;
  ops[3].text = bad_utf8();
  INVALID(syncline_text_apply_delta(text, ops, 4));
  syncline_value one = int_value(1);
  ops[3].text = S("");
  ops[3].embed = &one;
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_text_apply_delta(text, ops, 4));
  ops[3].embed = NULL;
  ops[3].attributes = &one;
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_text_apply_delta(text, ops, 4));
  INVALID(syncline_text_apply_delta(text, NULL, 1));
  OK(syncline_text_apply_delta(text, NULL, 0));
  CHECK(text_is(text, "aXYdef"));
  syncline_text_free(again);
  syncline_text_free(text);
  syncline_document_free(document);
}

static void reading(syncline_handler_kind kind) {
  syncline_document *document = new_document();
  syncline_text *text = new_text_of(document, "t", kind);
  OK(syncline_text_insert(text, 0, S("a" EURO GRIN "z")));
  CHECK(syncline_text_length(text) == 5);
  syncline_buffer out = {0};
  OK(syncline_text_to_utf16(text, &out));
  uint16_t units[5] = {'a', 0x20ac, 0xd83d, 0xde00, 'z'};
  CHECK(out.len == 10 && memcmp(out.data, units, 10) == 0);
  syncline_buffer_free(&out);
  OK(syncline_text_slice(text, 1, 3, &out));
  CHECK(take_equals(&out, EURO GRIN));
  OK(syncline_text_slice(text, 5, 0, &out));
  CHECK(take_equals(&out, ""));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_slice(text, 4, 2, &out));

  char memory[16];
  size_t len = 99;
  OK(syncline_text_copy(text, 0, memory, sizeof memory, &len));
  CHECK(len == 9 && memcmp(memory, "a" EURO GRIN "z", 9) == 0);
  OK(syncline_text_copy(text, 0, memory, 7, &len)); /* only whole characters */
  CHECK(len == 4);
  OK(syncline_text_copy(text, 0, NULL, 0, &len));
  CHECK(len == 0);
  EXPECT(SYNCLINE_END, syncline_text_copy(text, 5, memory, 3, &len));
  CHECK(len == 0);
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_copy(text, 6, memory, 3, &len));

  /* Halves of a pair: allowed with UTF-16, because the wire formats have them. */
  uint16_t half[1] = {0xd83d};
  syncline_utf16 lone = {half, 1};
  OK(syncline_text_insert_utf16(text, 5, lone));
  CHECK(syncline_text_length(text) == 6 && text_is(text, "a" EURO GRIN "z\xef\xbf\xbd"));
  OK(syncline_text_to_utf16(text, &out));
  CHECK(out.len == 12 && ((uint16_t *)(void *)out.data)[5] == 0xd83d);
  syncline_buffer_free(&out);
  OK(syncline_text_insert(text, 3, S("|"))); /* between the halves */
  CHECK(syncline_text_length(text) == 7);
  OK(syncline_text_remove(text, 3, 1));
  CHECK(text_is(text, "a" EURO GRIN "z\xef\xbf\xbd"));

  uint64_t index = 0;
  OK(syncline_text_convert_index(text, 4, SYNCLINE_TEXT_UNIT_UTF16, SYNCLINE_TEXT_UNIT_UTF8, &index));
  CHECK(index == 8);
  OK(syncline_text_convert_index(text, 8, SYNCLINE_TEXT_UNIT_UTF8, SYNCLINE_TEXT_UNIT_CODE_POINT, &index));
  CHECK(index == 3);
  EXPECT(SYNCLINE_ERROR_NOT_ON_BOUNDARY, syncline_text_convert_index(text, 5, SYNCLINE_TEXT_UNIT_UTF8, SYNCLINE_TEXT_UNIT_UTF16, &index));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_convert_index(text, 99, SYNCLINE_TEXT_UNIT_UTF8, SYNCLINE_TEXT_UNIT_UTF16, &index));
  INVALID(syncline_text_convert_index(text, 0, (syncline_text_unit)9, SYNCLINE_TEXT_UNIT_UTF8, &index));
  CHECK(index == 3);

  /* Positions stay at their character; characters of a plain text have no identity. */
  syncline_buffer position = {0};
  if (kind == SYNCLINE_HANDLER_TEXT) {
    EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_text_position_at(text, 2, &position));
    EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_text_position_index(text, B("\0", 1), &index));
    CHECK(index == 3 && !position.data);
    syncline_text_free(text);
    syncline_document_free(document);
    return;
  }
  OK(syncline_text_position_at(text, 2, &position));
  OK(syncline_text_insert(text, 0, S("12345")));
  OK(syncline_text_position_index(text, syncline_buffer_bytes(&position), &index));
  CHECK(index == 7);
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_position_at(text, 99, &out));
  syncline_document *other = new_document();
  syncline_text *elsewhere = new_text_of(other, "t", kind);
  EXPECT(SYNCLINE_NOT_FOUND, syncline_text_position_index(elsewhere, syncline_buffer_bytes(&position), &index));
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_text_position_index(text, B(position.data, position.len - 1), &index));
  CHECK(index == 7);
  syncline_buffer_free(&position);

  /* At the character on either side: what comes between goes behind one and before the other. */
  syncline_buffer before = {0}, behind = {0};
  OK(syncline_text_position_beside(text, 3, SYNCLINE_AFFINITY_BEFORE, &before));
  OK(syncline_text_position_beside(text, 3, SYNCLINE_AFFINITY_AFTER, &behind));
  OK(syncline_text_insert(text, 3, S("xy")));
  OK(syncline_text_position_index_beside(text, syncline_buffer_bytes(&before), SYNCLINE_AFFINITY_BEFORE, &index));
  CHECK(index == 3);
  OK(syncline_text_position_index_beside(text, syncline_buffer_bytes(&behind), SYNCLINE_AFFINITY_AFTER, &index));
  CHECK(index == 5);
  INVALID(syncline_text_position_beside(text, 3, (syncline_affinity)2, &before));
  INVALID(syncline_text_position_index_beside(text, syncline_buffer_bytes(&before), (syncline_affinity)2, &index));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_text_position_beside(text, 99, SYNCLINE_AFFINITY_AFTER, &out));
  CHECK(index == 5);
  syncline_buffer_free(&before);
  syncline_buffer_free(&behind);
  syncline_text_free(elsewhere);
  syncline_document_free(other);
  syncline_text_free(text);
  syncline_document_free(document);
}

static void units(syncline_handler_kind kind) {
  syncline_document *document = new_document_with_unit(SYNCLINE_TEXT_UNIT_UTF8);
  syncline_text *text = new_text_of(document, "t", kind);
  OK(syncline_text_insert(text, 0, S(EURO GRIN)));
  CHECK(syncline_text_length(text) == 7);
  for (uint64_t i = 0; i <= 8; i++) {
    bool boundary = i == 0 || i == 3 || i == 7;
    EXPECT(boundary ? SYNCLINE_OK : i > 7 ? SYNCLINE_ERROR_OUT_OF_RANGE : SYNCLINE_ERROR_NOT_ON_BOUNDARY,
           syncline_text_insert(text, i, S("")));
  }
  EXPECT(SYNCLINE_ERROR_NOT_ON_BOUNDARY, syncline_text_remove(text, 0, 2));
  OK(syncline_text_remove(text, 0, 3));
  CHECK(text_is(text, GRIN));
  OK(syncline_text_insert(text, 4, S("ab")));
  OK(syncline_text_update(text, 4, S("\xc3\xa9"))); /* two bytes for two bytes */
  CHECK(text_is(text, GRIN "\xc3\xa9"));
  OK(syncline_text_splice(text, 0, 4, S("xy")));
  CHECK(syncline_text_length(text) == 4 && text_is(text, "xy\xc3\xa9"));
  syncline_buffer out = {0};
  OK(syncline_text_slice(text, 2, 2, &out));
  CHECK(take_equals(&out, "\xc3\xa9"));
  EXPECT(SYNCLINE_ERROR_NOT_ON_BOUNDARY, syncline_text_slice(text, 3, 1, &out));
  if (kind != SYNCLINE_HANDLER_TEXT) {
    OK(syncline_text_position_at(text, 4, &out));
    uint64_t index = 0;
    OK(syncline_text_position_index(text, syncline_buffer_bytes(&out), &index));
    CHECK(index == 4);
    syncline_buffer_free(&out);
  }
  syncline_text_free(text);
  syncline_document_free(document);

  document = new_document_with_unit(SYNCLINE_TEXT_UNIT_CODE_POINT);
  text = new_text_of(document, "t", kind);
  OK(syncline_text_insert(text, 0, S(GRIN GRIN)));
  CHECK(syncline_text_length(text) == 2);
  OK(syncline_text_insert(text, 1, S("-")));
  OK(syncline_text_remove(text, 2, 1));
  CHECK(text_is(text, GRIN "-"));
  syncline_text_free(text);
  syncline_document_free(document);
}

/* Events of a plain text, in the unit of the document. */
static void plain_events(void) {
  syncline_document *document = new_document_with_unit(SYNCLINE_TEXT_UNIT_UTF8);
  syncline_text *text = new_text_of(document, "t", SYNCLINE_HANDLER_TEXT);
  OK(syncline_text_insert(text, 0, S(EURO)));
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_text_subscribe(text, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_text_insert(text, 3, S(GRIN)));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  CHECK(same(info.targets[0].type_name, "CRDTTextHandler") && info.targets[0].text_op_count == 2);
  CHECK(info.targets[0].text_ops[0].length == 3 && info.targets[0].text_ops[1].length == 4);
  syncline_event_free(event);
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
  syncline_text_free(text);
  syncline_document_free(document);
}

static void differences(void) {
  syncline_value *delta = NULL;
  OK(syncline_text_diff(S("hello"), S("help"), SYNCLINE_TEXT_UNIT_UTF16, &delta));
  syncline_buffer json;
  OK(syncline_value_to_json(delta, &json));
  CHECK(strstr((char *)json.data, "{\"retain\":3}") == (char *)json.data + 1);
  syncline_buffer_free(&json);
  syncline_value_free(delta);
  delta = NULL;
  OK(syncline_text_diff(S(EURO "a"), S(EURO), SYNCLINE_TEXT_UNIT_UTF8, &delta));
  CHECK(take_value_is(delta, "[{\"retain\":3},{\"remove\":1}]"));
  OK(syncline_text_diff(S(""), S(""), SYNCLINE_TEXT_UNIT_UTF8, &delta));
  CHECK(take_value_is(delta, "[]"));
  /* Characters that share a half are replaced as a whole. */
  OK(syncline_text_diff(S("\xf0\x9f\x98\x80"), S("\xf0\x9f\x98\x81"), SYNCLINE_TEXT_UNIT_UTF16, &delta));
  CHECK(take_value_is(delta, "[{\"retain\":0},{\"remove\":2},{\"insert\":\"\xf0\x9f\x98\x81\"}]"));
  delta = NULL;
  INVALID(syncline_text_diff(bad_utf8(), S(""), 0, &delta));
  INVALID(syncline_text_diff(S(""), bad_length(), 0, &delta));
  INVALID(syncline_text_diff(S(""), S(""), (syncline_text_unit)7, &delta));
  INVALID(syncline_text_diff(S(""), S(""), 0, NULL));
  CHECK(delta == NULL);
}

static void bad_arguments(void) {
  syncline_document *document = new_document();
  syncline_text *good = new_text(document, "t");
  syncline_map *map = new_map(document, "m");
  syncline_text *bad[2] = {NULL, (syncline_text *)map};
  syncline_handler *handler = NULL;
  syncline_subscription *subscription = NULL;
  syncline_queue *queue = new_queue();
  syncline_buffer out = {0};
  char memory[4];
  size_t len;
  uint64_t index;
  uint16_t unit = 'x';
  syncline_utf16 utf16 = {&unit, 1}, bad_utf16 = {NULL, 1};
  OK(syncline_text_insert(good, 0, S("abc")));
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_text_retain(bad[i]) == NULL && syncline_text_length(bad[i]) == 0);
    INVALID(syncline_text_as_handler(bad[i], &handler));
    INVALID(syncline_text_subscribe(bad[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_text_insert(bad[i], 0, S("x")));
    INVALID(syncline_text_insert_utf16(bad[i], 0, utf16));
    INVALID(syncline_text_remove(bad[i], 0, 1));
    INVALID(syncline_text_update(bad[i], 0, S("x")));
    INVALID(syncline_text_splice(bad[i], 0, 0, S("x")));
    INVALID(syncline_text_set_string(bad[i], S("x")));
    INVALID(syncline_text_apply_delta(bad[i], NULL, 0));
    INVALID(syncline_text_to_string(bad[i], &out));
    INVALID(syncline_text_to_utf16(bad[i], &out));
    INVALID(syncline_text_slice(bad[i], 0, 0, &out));
    INVALID(syncline_text_copy(bad[i], 0, memory, 4, &len));
    INVALID(syncline_text_convert_index(bad[i], 0, 0, 1, &index));
    INVALID(syncline_text_position_at(bad[i], 0, &out));
    INVALID(syncline_text_position_index(bad[i], no_bytes(), &index));
    syncline_text_free(bad[i]);
  }
  INVALID(syncline_text_as_handler(good, NULL));
  INVALID(syncline_text_insert(good, 0, bad_utf8()));
  INVALID(syncline_text_insert(good, 0, bad_length()));
  INVALID(syncline_text_insert(good, 0, text_with_length("x", SIZE_MAX)));
  INVALID(syncline_text_insert_utf16(good, 0, bad_utf16));
  INVALID(syncline_text_update(good, 0, bad_utf8()));
  INVALID(syncline_text_splice(good, 0, 0, bad_utf8()));
  INVALID(syncline_text_set_string(good, bad_utf8()));
  INVALID(syncline_text_to_string(good, NULL));
  INVALID(syncline_text_to_utf16(good, NULL));
  INVALID(syncline_text_slice(good, 0, 0, NULL));
  INVALID(syncline_text_copy(good, 0, NULL, 4, &len));
  INVALID(syncline_text_copy(good, 0, memory, 4, NULL));
  INVALID(syncline_text_convert_index(good, 0, 0, 1, NULL));
  INVALID(syncline_text_position_at(good, 0, NULL));
  INVALID(syncline_text_position_index(good, bad_bytes(), &index));
  INVALID(syncline_text_position_index(good, no_bytes(), NULL));
  CHECK(!handler && !subscription && !out.data && text_is(good, "abc"));
  syncline_queue_free(queue);
  syncline_map_free(map);
  syncline_document_free(document);
  OK(syncline_text_insert(good, 3, S("d"))); /* the text keeps its document alive */
  CHECK(text_is(good, "abcd"));
  syncline_text_free(good);
}

int main(void) {
  const syncline_handler_kind kinds[] = {SYNCLINE_HANDLER_FUGUE_TEXT, SYNCLINE_HANDLER_TEXT};
  for (int i = 0; i < 2; i++) {
    edits(kinds[i]);
    reading(kinds[i]);
    units(kinds[i]);
  }
  plain_events();
  differences();
  bad_arguments();
  return finish("text");
}
