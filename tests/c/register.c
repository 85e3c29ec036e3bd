#include "check.h"

int main(void) {
  syncline_document *document = new_document();
  syncline_register *reg = NULL;
  OK(syncline_document_get_register(document, S("r"), NULL, &reg));
  syncline_register *again = syncline_register_retain(reg);
  syncline_value one = int_value(1), two = string_value("two"), *value = &one;
  CHECK(again == reg);
  EXPECT(SYNCLINE_NOT_FOUND, syncline_register_get(reg, &value));
  CHECK(value == NULL);
  OK(syncline_register_set(reg, &one));
  OK(syncline_register_get(reg, &value));
  CHECK(take_value_is(value, "1"));
  value = NULL;

  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_register_subscribe(reg, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_register_set(reg, &two));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  const syncline_map_op *op = info.targets[0].map_ops;
  CHECK(info.targets[0].map_op_count == 1 && op->kind == SYNCLINE_OP_UPDATE && op->key.len == 0);
  CHECK(value_is(op->old_value, "1") && value_is(op->new_value, "\"two\""));
  syncline_event_free(event);
  syncline_subscription_free(subscription);
  subscription = NULL;

  /* The last writer wins, in the same way everywhere. */
  syncline_document *other = new_document();
  syncline_register *theirs = NULL;
  OK(syncline_document_get_register(other, S("r"), NULL, &theirs));
  OK(syncline_register_set(theirs, &one));
  copy_changes(document, other);
  copy_changes(other, document);
  syncline_value *a = NULL, *b = NULL;
  OK(syncline_register_get(reg, &a));
  OK(syncline_register_get(theirs, &b));
  CHECK(syncline_value_equals(a, b));
  syncline_value_free(a);
  syncline_value_free(b);
  syncline_register_free(theirs);
  syncline_document_free(other);

  syncline_handler *handler = NULL;
  OK(syncline_register_as_handler(reg, &handler));
  syncline_handler_free(handler);
  handler = NULL;
  syncline_value bad = plain_value(99), ref = plain_value(SYNCLINE_VALUE_REF);
  INVALID(syncline_register_set(reg, &bad));
  INVALID(syncline_register_set(reg, &ref)); /* a place for references only */
  syncline_iterator *it = NULL;
  syncline_register *wrong[2] = {NULL, (syncline_register *)document};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_register_retain(wrong[i]) == NULL);
    INVALID(syncline_register_as_handler(wrong[i], &handler));
    INVALID(syncline_register_subscribe(wrong[i], SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
    INVALID(syncline_register_get(wrong[i], &value));
    INVALID(syncline_register_iterate_conflicts(wrong[i], &it));
    INVALID(syncline_register_set(wrong[i], &one));
    syncline_register_free(wrong[i]);
  }
  INVALID(syncline_register_as_handler(reg, NULL));
  INVALID(syncline_register_get(reg, NULL));
  INVALID(syncline_register_set(reg, NULL));
  INVALID(syncline_register_iterate_conflicts(reg, NULL));
  CHECK(!it && !handler && !subscription && !value);
  syncline_queue_free(queue);
  syncline_document_free(document);
  OK(syncline_register_set(again, &two));
  syncline_register_free(reg);
  syncline_register_free(again);
  return finish("register");
}
