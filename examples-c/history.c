/* Time travel: a read-only view that follows a cursor, what changed between two versions, and a copy
 * of the past that goes its own way. */
#include "example.h"

int main(void) {
  const char *lines[] = {"Roses are red", "\nViolets are blue", "\nSugar is sweet"};
  syncline_document *poem = new_replica(1), *view = NULL, *fork = NULL;
  syncline_text *text = NULL, *shown = NULL, *copy = NULL;
  syncline_version_vector *draft = NULL;
  syncline_history *history = NULL;
  syncline_event *difference = NULL;
  syncline_change_info info = {.struct_size = sizeof info};
  check(syncline_document_get_text(poem, SYNCLINE_STR("poem"), NULL, &text));
  for (int i = 0; i < 3; i++) {
    check(syncline_text_insert(text, syncline_text_length(text), syncline_str(lines[i])));
    if (i == 1) check(syncline_document_version_vector(poem, &draft));
  }
  check(syncline_text_splice(text, 10, 3, SYNCLINE_STR("thorny")));

  /* Back and forth. The view is one document all the time: its handlers and subscriptions stay. */
  check(syncline_history_new(poem, &history)), check(syncline_history_document(history, &view));
  check(syncline_document_get_text(view, SYNCLINE_STR("poem"), NULL, &shown));
  while (syncline_history_previous(history) == SYNCLINE_OK) {
    printf("%d of %d changes: %d characters\n", (int)syncline_history_cursor(history), (int)syncline_history_length(history), (int)syncline_text_length(shown));
  }
  printf("editing the past: %s\n", syncline_status_name(syncline_text_insert(shown, 0, SYNCLINE_STR("?"))));
  check(syncline_history_jump(history, 2)), show("the view", view);

  /* What happened since the draft, as the steps of an event. */
  check(syncline_document_diff(poem, draft, NULL, &difference)), check(syncline_event_change(difference, &info));
  for (size_t i = 0; i < info.targets[0].text_op_count; i++) {
    const syncline_text_op *op = &info.targets[0].text_ops[i];
    const char *kinds[] = {"keep", "insert", "remove"};
    printf("%s %d %.*s\n", kinds[op->kind], (int)op->length, (int)op->text.len, op->text.len ? op->text.data : "");
  }

  /* Another ending, which can still be merged with the first one. */
  check(syncline_history_fork(history, NULL, &fork));
  check(syncline_document_get_text(fork, SYNCLINE_STR("poem"), NULL, &copy));
  check(syncline_text_insert(copy, syncline_text_length(copy), SYNCLINE_STR("!"))), show("the fork", fork);

  syncline_event_free(difference), syncline_version_vector_free(draft), syncline_history_free(history);
  syncline_text_free(text), syncline_text_free(shown), syncline_text_free(copy);
  syncline_document_free(poem), syncline_document_free(view), syncline_document_free(fork);
}
