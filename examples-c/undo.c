/* Undo of one's own edits while a friend edits, too; the caret comes back with each step. The steps
 * are kept in the store: a program that starts again can still undo. */
#include "example.h"

static syncline_document *document;
static syncline_text *text;
static syncline_undo *undo;
static syncline_subscription *steps;
static syncline_buffer caret; /* before the edit: a position that stays with its neighbour */

static void on_step(void *user_data, const syncline_event *event) {
  syncline_undo_info step = {.struct_size = sizeof step};
  uint64_t index = 0;
  (void)user_data;
  if (syncline_event_undo(event, &step) < 0) return;
  if (step.pushed && step.meta == NULL) { /* a new one */
    syncline_value meta = {.type = SYNCLINE_VALUE_BYTES};
    meta.data.bytes = syncline_buffer_bytes(&caret);
    check(syncline_undo_set_meta(undo, step.step, &meta));
  } else if (!step.pushed) {
    check(syncline_text_position_index(text, step.meta->data.bytes, &index));
    printf("undone, caret at %d\n", (int)index);
  }
}

static void start(syncline_store *store, syncline_queue *queue) {
  check(syncline_store_open_document(store, SYNCLINE_OPTIONS(syncline_document_options, .document_id = SYNCLINE_STR("list")), &document));
  check(syncline_document_get_text(document, SYNCLINE_STR("text"), NULL, &text));
  check(syncline_undo_new(document, SYNCLINE_OPTIONS(syncline_undo_options, .persistent = true), &undo));
  check(syncline_undo_subscribe(undo, SYNCLINE_OPTIONS(syncline_listener, .queue = queue, .callback = on_step), &steps));
}

static void stop(void) {
  syncline_subscription_free(steps), syncline_undo_free(undo), syncline_text_free(text), syncline_document_free(document);
}

int main(void) {
  const char *typed[] = {"milk", ", beer", ", bread"};
  syncline_store *store = NULL;
  syncline_queue *queue = NULL;
  syncline_document *friend = new_replica(2);
  check(syncline_store_new_memory(&store)), check(syncline_queue_new(NULL, &queue));
  start(store, queue);
  for (int i = 0; i < 3; i++) {
    uint64_t end = syncline_text_length(text);
    check(syncline_text_position_at(text, end, &caret));
    check(syncline_undo_stop_capturing(undo)); /* else quick edits are one step */
    check(syncline_text_insert(text, end, syncline_str(typed[i])));
    check(syncline_queue_dispatch(queue, 10, NULL));
    syncline_buffer_free(&caret);
  }
  stop(), start(store, queue); /* the next day */
  syncline_text *theirs = NULL;
  check(syncline_document_get_text(friend, SYNCLINE_STR("text"), NULL, &theirs));
  meet(document, friend), check(syncline_text_insert(theirs, 0, SYNCLINE_STR("Buy "))), meet(document, friend);
  for (int i = 0; i < 2; i++) check(syncline_undo_undo(undo)), check(syncline_queue_dispatch(queue, 10, NULL));
  show("undone", document), check(syncline_undo_redo(undo)), show("redone", document);
  stop(), syncline_text_free(theirs), syncline_document_free(friend), syncline_queue_free(queue), syncline_store_free(store);
}
