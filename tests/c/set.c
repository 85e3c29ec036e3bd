#include "check.h"

int main(void) {
  syncline_document *document = new_document();
  syncline_set *set = NULL;
  OK(syncline_document_get_set(document, S("s"), NULL, &set));
  syncline_set *again = syncline_set_retain(set);
  syncline_value one = int_value(1), x = string_value("x"), *value = NULL;
  CHECK(again == set && syncline_set_length(set) == 0 && !syncline_set_contains(set, &one));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_set_remove(set, &one));
  OK(syncline_set_insert(set, &one));
  OK(syncline_set_insert(set, &x));
  OK(syncline_set_insert(set, &x));
  CHECK(syncline_set_length(set) == 2 && syncline_set_contains(set, &x));
  syncline_value one_point_zero = plain_value(SYNCLINE_VALUE_DOUBLE);
  one_point_zero.data.number = 1.0;
  CHECK(syncline_set_contains(set, &one_point_zero)); /* numbers compare by value, as in Dart */
  OK(syncline_set_to_value(set, &value));
  CHECK(take_value_is(value, "[1,\"x\"]"));
  value = NULL;
  syncline_iterator *it = NULL;
  OK(syncline_set_iterate(set, &it));
  CHECK(syncline_iterator_remaining(it) == 2);
  OK(syncline_iterator_next(it));
  CHECK(syncline_iterator_key(it).len == 0 && value_is(syncline_iterator_value(it), "1"));
  syncline_iterator_free(it);
  it = NULL;

  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_set_subscribe(set, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_set_remove(set, &one));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  CHECK(info.targets[0].map_op_count == 1 && info.targets[0].map_ops[0].kind == SYNCLINE_OP_REMOVE);
  CHECK(value_is(info.targets[0].map_ops[0].old_value, "1") && info.targets[0].map_ops[0].new_value == NULL);
  syncline_event_free(event);
  syncline_subscription_free(subscription);
  subscription = NULL;
  CHECK(!syncline_set_contains(set, &one));

  /* Adding wins over removing at the same time. */
  syncline_document *other = new_document();
  syncline_set *theirs = NULL;
  OK(syncline_document_get_set(other, S("s"), NULL, &theirs));
  copy_changes(document, other);
  OK(syncline_set_remove(set, &x));
  OK(syncline_set_insert(theirs, &x));
  copy_changes(other, document);
  copy_changes(document, other);
  CHECK(syncline_set_contains(set, &x) && syncline_set_contains(theirs, &x));
  syncline_set_free(theirs);
  syncline_document_free(other);

  syncline_handler *handler = NULL;
  syncline_value bytes = bytes_value("x", 1), bad = plain_value(99);
  INVALID(syncline_set_insert(set, &bytes));
  INVALID(syncline_set_insert(set, &bad));
  CHECK(!syncline_set_contains(set, &bad));
  syncline_set *wrong[2] = {NULL, (syncline_set *)document};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_set_retain(wrong[i]) == NULL && syncline_set_length(wrong[i]) == 0);
    CHECK(!syncline_set_contains(wrong[i], &one));
    INVALID(syncline_set_as_handler(wrong[i], &handler));
    INVALID(syncline_set_subscribe(wrong[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_set_insert(wrong[i], &one));
    INVALID(syncline_set_remove(wrong[i], &one));
    INVALID(syncline_set_iterate(wrong[i], &it));
    INVALID(syncline_set_to_value(wrong[i], &value));
    syncline_set_free(wrong[i]);
  }
  INVALID(syncline_set_as_handler(set, NULL));
  CHECK(!syncline_set_contains(set, NULL));
  INVALID(syncline_set_insert(set, NULL));
  INVALID(syncline_set_remove(set, NULL));
  INVALID(syncline_set_iterate(set, NULL));
  INVALID(syncline_set_to_value(set, NULL));
  CHECK(!handler && !subscription && !value && !it);
  syncline_queue_free(queue);
  syncline_document_free(document);
  CHECK(syncline_set_length(again) == 1);
  syncline_set_free(set);
  syncline_set_free(again);
  return finish("set");
}
