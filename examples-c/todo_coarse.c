/* A to-do list, coarse: a list of plain objects, an edit replaces a whole item. Simple and small;
 * but two people who change different fields of one item leave it there twice.
 * The fine model: todo_fine.c. Which to choose: docs/data-model.md. */
#include "example.h"

static syncline_list *todos_of(syncline_document *document) {
  syncline_list *todos = NULL;
  check(syncline_document_get_list(document, SYNCLINE_STR("todos"), NULL, &todos));
  return todos;
}

static void add(syncline_list *todos, const char *item) {
  syncline_value *value = json(item);
  check(syncline_list_push(todos, value, 1));
  syncline_value_free(value);
}

static void replace(syncline_list *todos, uint64_t index, const char *item) {
  syncline_value *value = json(item);
  check(syncline_list_update(todos, index, value));
  syncline_value_free(value);
}

int main(void) {
  syncline_document *anna = new_replica(1), *ben = new_replica(2);
  syncline_list *of_anna = todos_of(anna), *of_ben = todos_of(ben);
  add(of_anna, "{\"text\":\"Buy milk\",\"done\":false}");
  add(of_anna, "{\"text\":\"Call Eve\",\"done\":false}");
  meet(anna, ben);

  /* Different items: both edits are there. */
  replace(of_anna, 0, "{\"text\":\"Buy milk\",\"done\":true}");
  replace(of_ben, 1, "{\"text\":\"Call Eve and Dan\",\"done\":false}");
  meet(anna, ben);
  show("two items", anna);

  /* Different fields of one item: neither saw the other's, so both replacements stay. */
  replace(of_anna, 1, "{\"text\":\"Call Eve and Dan\",\"done\":true}");
  replace(of_ben, 1, "{\"text\":\"Call Eve, Dan and Mia\",\"done\":false}");
  meet(anna, ben);
  show("one item, two fields", ben);

  /* Somebody looks and decides. */
  check(syncline_list_remove(of_anna, 2, 1));
  replace(of_anna, 1, "{\"text\":\"Call Eve, Dan and Mia\",\"done\":true}");
  meet(anna, ben);
  show("decided", ben);
  syncline_list_free(of_anna), syncline_list_free(of_ben);
  syncline_document_free(anna), syncline_document_free(ben);
}
