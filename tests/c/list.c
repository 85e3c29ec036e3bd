#include "check.h"

static bool list_is(const syncline_list *list, const char *json) {
  syncline_value *value = NULL;
  OK(syncline_list_to_value(list, false, &value));
  return take_value_is(value, json);
}

/* Inserts the items of a JSON array. */
static syncline_status insert_json(syncline_list *list, uint64_t index, const char *json) {
  syncline_value *items = NULL;
  OK(syncline_value_from_json(S(json), &items));
  syncline_status status = syncline_list_insert(list, index, items->data.array.items, items->data.array.count);
  syncline_value_free(items);
  return status;
}

/* What all kinds of values have in common. */
static void edits(syncline_handler_kind kind, const char *type_name) {
  syncline_document *document = new_document();
  syncline_list *list = new_list(document, "l", kind), *again = syncline_list_retain(list);
  CHECK(again == list && syncline_list_length(list) == 0 && list_is(list, "[]"));
  syncline_value one = int_value(1), text = string_value("x"), *value = NULL;
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_get(list, 0, &value));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_update(list, 0, &one));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_insert(list, 1, &one, 1));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_remove(list, 0, 1));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_remove(list, 0, UINT64_MAX));
  CHECK(value == NULL && syncline_document_is_empty(document));
  OK(insert_json(list, 0, "[true,2.0,{\"b\":[1],\"a\":null}]"));
  OK(syncline_list_push(list, &text, 1));
  OK(syncline_list_insert(list, 1, &one, 1));
  CHECK(syncline_list_length(list) == 5 && list_is(list, "[true,1,2.0,{\"b\":[1],\"a\":null},\"x\"]"));
  OK(syncline_list_update(list, 4, &one));
  OK(syncline_list_remove(list, 0, 3));
  OK(syncline_list_get(list, 0, &value));
  CHECK(take_value_is(value, "{\"b\":[1],\"a\":null}"));
  value = NULL;
  CHECK(list_is(list, "[{\"b\":[1],\"a\":null},1]"));

  syncline_iterator *it = NULL;
  OK(syncline_list_iterate(list, &it));
  OK(syncline_list_remove(list, 0, 1)); /* the iterator walks a copy */
  OK(syncline_iterator_next(it));
  CHECK(syncline_iterator_index(it) == 0 && syncline_iterator_remaining(it) == 1);
  OK(syncline_iterator_next(it));
  CHECK(syncline_iterator_index(it) == 1 && value_is(syncline_iterator_value(it), "1"));
  EXPECT(SYNCLINE_END, syncline_iterator_next(it));
  syncline_iterator_free(it);

  /* What it cannot store changes nothing, also as one of several. */
  syncline_value bytes = bytes_value("\0\1", 2), undefined = plain_value(SYNCLINE_VALUE_UNDEFINED);
  syncline_value ref = ref_value("t", "CRDTTextHandler"), mixed[2] = {one, bytes};
  INVALID(syncline_list_insert(list, 0, mixed, 2));
  INVALID(syncline_list_push(list, &ref, 1));
  INVALID(syncline_list_update(list, 0, &bytes));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_list_insert(list, 0, &undefined, 1));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_list_update(list, 0, &undefined));
  CHECK(list_is(list, "[1]"));
  uint64_t changes = syncline_document_change_count(document);
  OK(syncline_list_insert(list, 1, NULL, 0));
  OK(syncline_list_push(list, NULL, 0));
  OK(syncline_list_remove(list, 1, 0));
  CHECK(list_is(list, "[1]") && syncline_document_change_count(document) == changes);

  /* As a handler, and back. */
  syncline_handler *handler = NULL, *child = NULL;
  syncline_list *same_list = NULL;
  OK(syncline_list_as_handler(list, &handler));
  CHECK(syncline_handler_get_kind(handler) == kind && same(syncline_handler_type_name(handler), type_name));
  OK(syncline_handler_as_list(handler, &same_list));
  CHECK(syncline_list_length(same_list) == 1);
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_list_insert_ref(list, 0, handler));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_list_get_ref(list, 0, &child));
  syncline_handler_free(handler);
  syncline_list_free(same_list);

  /* Bytes, stored as they are. */
  syncline_list *raw = NULL;
  OK(syncline_document_get_list(document, S("raw"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = kind, .codec = SYNCLINE_CODEC_BYTES), &raw));
  OK(syncline_list_push(raw, &bytes, 1));
  INVALID(syncline_list_push(raw, &one, 1));
  OK(syncline_list_get(raw, 0, &value));
  CHECK(syncline_value_equals(value, &bytes));
  syncline_value_free(value);
  syncline_list_free(raw);

  /* The list outlives the document's own handle, and ends with closing. */
  syncline_list_free(again);
  syncline_document *last = syncline_document_retain(document);
  syncline_document_free(document);
  OK(syncline_list_push(list, &one, 1));
  OK(syncline_document_close(last));
  syncline_document_free(last);
  CHECK(syncline_list_length(list) == 0);
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_list_push(list, &one, 1));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_list_to_value(list, false, &value));
  syncline_list_free(list);
}

static syncline_change_info change_of(const syncline_event *event) {
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  return info;
}

static void delta_events(void) {
  syncline_document *document = new_document();
  syncline_list *list = new_list(document, "l", SYNCLINE_HANDLER_FUGUE_LIST);
  OK(insert_json(list, 0, "[1,2,3]"));
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_list_subscribe(list, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_document_begin(document, B("tag", 3)));
  OK(insert_json(list, 1, "[\"a\",null,[]]"));
  OK(syncline_list_remove(list, 4, 1));
  OK(syncline_document_commit(document));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = change_of(event);
  CHECK(info.target_count == 1 && info.origin == SYNCLINE_ORIGIN_LOCAL && info.tag.len == 3);
  const syncline_change_target *target = info.targets;
  CHECK(same(target->id, "l") && target->path == NULL && target->text_op_count == 0 && target->map_op_count == 0);
  CHECK(target->list_op_count == 4);
  const syncline_list_op *ops = target->list_ops;
  CHECK(ops[0].kind == SYNCLINE_OP_RETAIN && ops[0].length == 1 && ops[0].values == NULL);
  CHECK(ops[1].kind == SYNCLINE_OP_INSERT && ops[1].length == 2 && ops[1].old_values == NULL); /* null is not seen */
  CHECK(value_is(&ops[1].values[0], "\"a\"") && value_is(&ops[1].values[1], "[]"));
  CHECK(ops[2].kind == SYNCLINE_OP_RETAIN && ops[2].length == 1);
  CHECK(ops[3].kind == SYNCLINE_OP_REMOVE && ops[3].length == 1 && value_is(ops[3].old_values, "3"));
  syncline_buffer json = {0};
  OK(syncline_event_to_json(event, &json));
  CHECK(strstr((char *)json.data, "\"ops\":[{\"retain\":1},{\"insert\":[\"a\",[]]},{\"retain\":1},{\"remove\":[3]}]") != NULL);
  syncline_buffer_free(&json);
  syncline_event_free(event);
  syncline_subscription_free(subscription);
  syncline_list_free(list);

  /* Moves and updates. */
  list = new_list(document, "m", SYNCLINE_HANDLER_MOVABLE_LIST);
  OK(insert_json(list, 0, "[1,2,3]"));
  OK(syncline_list_subscribe(list, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_list_move(list, 0, 3));
  event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  info = change_of(event);
  CHECK(info.targets->list_op_count == 1);
  ops = info.targets->list_ops;
  CHECK(ops[0].kind == SYNCLINE_OP_MOVE && ops[0].from == 0 && ops[0].index == 2 && ops[0].length == 1);
  OK(syncline_event_to_json(event, &json));
  CHECK(strstr((char *)json.data, "{\"move\":0,\"to\":2}") != NULL);
  syncline_buffer_free(&json);
  syncline_event_free(event);
  syncline_value text = string_value("x");
  OK(syncline_list_update(list, 1, &text));
  event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  info = change_of(event);
  ops = info.targets->list_ops;
  CHECK(info.targets->list_op_count == 1 && ops[0].kind == SYNCLINE_OP_UPDATE && ops[0].index == 1);
  CHECK(value_is(ops[0].old_values, "3") && value_is(ops[0].values, "\"x\""));
  OK(syncline_event_to_json(event, &json));
  CHECK(strstr((char *)json.data, "{\"update\":1,\"old\":3,\"new\":\"x\"}") != NULL);
  syncline_buffer_free(&json);
  syncline_event_free(event);
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
  syncline_list_free(list);
  syncline_document_free(document);
}

static void moves_and_positions(void) {
  syncline_document *document = new_document();
  syncline_list *plain = new_list(document, "p", SYNCLINE_HANDLER_LIST);
  syncline_list *fugue = new_list(document, "f", (syncline_handler_kind)0); /* the default */
  syncline_list *movable = new_list(document, "m", SYNCLINE_HANDLER_MOVABLE_LIST);
  syncline_list *all[3] = {plain, fugue, movable};
  for (int i = 0; i < 3; i++) OK(insert_json(all[i], 0, "[1,2,3,4]"));
  for (int i = 0; i < 2; i++) EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_list_move(all[i], 0, 1));
  OK(syncline_list_move(movable, 0, 2));
  CHECK(list_is(movable, "[2,3,1,4]"));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_move(movable, 4, 0));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_move(movable, 0, 5));

  syncline_buffer position = {0};
  uint64_t index = 99;
  for (int i = 1; i < 3; i++) {
    OK(syncline_list_position_at(all[i], 3, &position));
    OK(syncline_list_remove(all[i], 0, 1));
    OK(syncline_list_position_index(all[i], syncline_buffer_bytes(&position), &index));
    CHECK(index == 2);
    if (all[i] == movable) { /* it follows its element: 1, which moves to the front */
      OK(syncline_list_move(movable, 1, 0));
      OK(syncline_list_position_index(movable, syncline_buffer_bytes(&position), &index));
      CHECK(index == 1);
    }
    EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_list_position_index(all[i], B("x", 1), &index));
    syncline_buffer_free(&position);
    EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_position_at(all[i], 9, &position));
    for (int side = SYNCLINE_AFFINITY_BEFORE; side <= SYNCLINE_AFFINITY_AFTER; side++) {
      OK(syncline_list_position_beside(all[i], 1, (syncline_affinity)side, &position));
      OK(insert_json(all[i], 1, "[8,9]"));
      OK(syncline_list_position_index_beside(all[i], syncline_buffer_bytes(&position), (syncline_affinity)side, &index));
      CHECK(index == (side == SYNCLINE_AFFINITY_BEFORE ? 1 : 3));
      syncline_buffer_free(&position);
    }
    INVALID(syncline_list_position_beside(all[i], 1, (syncline_affinity)2, &position));
    INVALID(syncline_list_position_index_beside(all[i], B("x", 1), (syncline_affinity)2, &index));
  }
  syncline_document *other = new_document();
  syncline_list *stranger = new_list(other, "f", SYNCLINE_HANDLER_FUGUE_LIST);
  OK(syncline_list_position_at(fugue, 1, &position));
  index = 99;
  EXPECT(SYNCLINE_NOT_FOUND, syncline_list_position_index(stranger, syncline_buffer_bytes(&position), &index));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_list_position_index(plain, syncline_buffer_bytes(&position), &index));
  CHECK(index == 99);
  syncline_buffer_free(&position);
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_list_position_at(plain, 1, &position));
  syncline_list_free(stranger);
  syncline_document_free(other);
  for (int i = 0; i < 3; i++) syncline_list_free(all[i]);
  syncline_document_free(document);
}

static void bad_arguments(void) {
  syncline_document *document = new_document();
  syncline_list *list = new_list(document, "l", SYNCLINE_HANDLER_LIST), *none = NULL;
  syncline_value one = int_value(1), *value = NULL, bad = plain_value(77);
  OK(syncline_list_push(list, &one, 1));
  syncline_queue *queue = new_queue();
  syncline_handler *handler = NULL, *own = NULL;
  OK(syncline_list_as_handler(list, &own));
  syncline_subscription *subscription = NULL;
  syncline_iterator *it = NULL;
  syncline_buffer position = {0};
  uint64_t index = 99;
  syncline_list *wrong[2] = {NULL, (syncline_list *)document};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_list_retain(wrong[i]) == NULL && syncline_list_length(wrong[i]) == 0);
    INVALID(syncline_list_as_handler(wrong[i], &handler));
    INVALID(syncline_list_subscribe(wrong[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_list_get(wrong[i], 0, &value));
    INVALID(syncline_list_insert(wrong[i], 0, &one, 1));
    INVALID(syncline_list_push(wrong[i], &one, 1));
    INVALID(syncline_list_remove(wrong[i], 0, 1));
    INVALID(syncline_list_update(wrong[i], 0, &one));
    INVALID(syncline_list_move(wrong[i], 0, 0));
    INVALID(syncline_list_insert_ref(wrong[i], 0, own));
    INVALID(syncline_list_get_ref(wrong[i], 0, &handler));
    INVALID(syncline_list_iterate(wrong[i], &it));
    INVALID(syncline_list_iterate_conflicts(wrong[i], 0, &it));
    INVALID(syncline_list_to_value(wrong[i], false, &value));
    INVALID(syncline_list_position_at(wrong[i], 0, &position));
    INVALID(syncline_list_position_index(wrong[i], no_bytes(), &index));
    INVALID(syncline_handler_as_list((syncline_handler *)wrong[i], &none));
    syncline_list_free(wrong[i]);
  }
  INVALID(syncline_list_as_handler(list, NULL));
  INVALID(syncline_list_subscribe(list, NULL, &subscription));
  INVALID(syncline_list_get(list, 0, NULL));
  INVALID(syncline_list_insert(list, 0, NULL, 1));
  INVALID(syncline_list_insert(list, 0, &one, SIZE_MAX));
  INVALID(syncline_list_insert(list, 0, &bad, 1));
  size_t too_many = ((size_t)1 << 20) + 1;
  syncline_value *many = (syncline_value *)calloc(too_many, sizeof *many);
  CHECK(many);
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_list_push(list, many, too_many));
  free(many);
  INVALID(syncline_list_push(list, NULL, 1));
  INVALID(syncline_list_update(list, 0, NULL));
  INVALID(syncline_list_insert_ref(list, 0, NULL));
  INVALID(syncline_list_get_ref(list, 0, NULL));
  INVALID(syncline_list_iterate(list, NULL));
  INVALID(syncline_list_iterate_conflicts(list, 0, NULL));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_iterate_conflicts(list, 1, &it));
  INVALID(syncline_list_to_value(list, false, NULL));
  INVALID(syncline_list_position_at(list, 0, NULL));
  INVALID(syncline_list_position_index(list, no_bytes(), NULL));
  INVALID(syncline_list_position_index(list, bad_bytes(), &index));
  INVALID(syncline_handler_as_list(own, NULL));
  INVALID(syncline_document_get_list(NULL, S("l"), NULL, &none));
  INVALID(syncline_document_get_list(document, S("l"), NULL, NULL));
  INVALID(syncline_document_get_list(document, bad_utf8(), NULL, &none));
  INVALID(syncline_document_get_list(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_MAP), &none));
  INVALID(syncline_document_get_list(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_CUSTOM), &none));
  INVALID(syncline_document_get_list(document, S("n"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_LIST_REF, .codec = SYNCLINE_CODEC_BYTES), &none));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_document_get_list(document, S("l"), NULL, &none));
  CHECK(!handler && !subscription && !value && !it && !position.data && index == 99 && !none);
  CHECK(list_is(list, "[1]") && !syncline_document_has_handler(document, S("n")));
  syncline_handler_free(own);
  syncline_queue_free(queue);
  syncline_list_free(list);
  syncline_document_free(document);
}

int main(void) {
  edits(SYNCLINE_HANDLER_LIST, "CRDTListHandler<dynamic>");
  edits(SYNCLINE_HANDLER_FUGUE_LIST, "CRDTFugueListHandler<dynamic>");
  edits(SYNCLINE_HANDLER_MOVABLE_LIST, "CRDTFugueMovableListHandler<dynamic>");
  delta_events();
  moves_and_positions();
  bad_arguments();
  return finish("list");
}
