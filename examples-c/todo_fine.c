/* A to-do list, fine: a movable list of references to items, each a map of references to a text and
 * a register. What several people change at once survives. Coarse: todo_coarse.c; docs/data-model.md */
#include "example.h"

#define OPTIONS(...) SYNCLINE_OPTIONS(syncline_handler_options, __VA_ARGS__)
#define FLAG "CRDTRegisterHandler<bool>"

static syncline_list *todos_of(syncline_document *document) {
  syncline_list *todos = NULL; /* texts and references are known to every document, flags are not */
  check(syncline_document_register_type(document, OPTIONS(.type_name = SYNCLINE_STR(FLAG))));
  check(syncline_document_get_list(document, SYNCLINE_STR("todos"), OPTIONS(.kind = SYNCLINE_HANDLER_MOVABLE_LIST_REF), &todos));
  return todos;
}

/* The part of the item at an index: "words" or "done". */
static syncline_handler *part(const syncline_list *todos, uint64_t index, const char *key) {
  syncline_handler *item = NULL, *found = NULL;
  syncline_map *map = NULL;
  check(syncline_list_get_ref(todos, index, &item)), check(syncline_handler_as_map(item, &map));
  check(syncline_map_get_ref(map, syncline_str(key), &found));
  syncline_map_free(map), syncline_handler_free(item);
  return found;
}

static void write_words(syncline_handler *handler, uint64_t index, uint64_t remove, const char *words) {
  syncline_text *text = NULL;
  check(syncline_handler_as_text(handler, &text));
  check(syncline_text_splice(text, index, remove, syncline_str(words)));
  syncline_text_free(text), syncline_handler_free(handler);
}

static void set_done(syncline_handler *handler, const char *done) {
  syncline_register *flag = NULL;
  syncline_value *value = json(done);
  check(syncline_handler_as_register(handler, &flag)), check(syncline_register_set(flag, value));
  syncline_value_free(value), syncline_register_free(flag), syncline_handler_free(handler);
}

static void add(syncline_document *document, syncline_list *todos, const char *words) {
  syncline_handler *item = new_handler(document, "CRDTMapRefHandler"), *done = new_handler(document, FLAG);
  syncline_handler *text = new_handler(document, "CRDTFugueTextHandler");
  syncline_map *map = NULL;
  check(syncline_handler_as_map(item, &map)), check(syncline_map_set_ref(map, SYNCLINE_STR("words"), text));
  check(syncline_map_set_ref(map, SYNCLINE_STR("done"), done)), check(syncline_list_insert_ref(todos, syncline_list_length(todos), item));
  write_words(text, 0, 0, words), set_done(done, "false");
  syncline_map_free(map), syncline_handler_free(item);
}

int main(void) {
  syncline_document *anna = new_replica(1), *ben = new_replica(2);
  syncline_list *of_anna = todos_of(anna), *of_ben = todos_of(ben);
  add(anna, of_anna, "Buy milk"), add(anna, of_anna, "Call Eve");
  meet(anna, ben), show("before", ben);
  set_done(part(of_anna, 1, "done"), "true"), check(syncline_list_move(of_anna, 1, 0)); /* Anna: done, to the top */
  write_words(part(of_ben, 1, "words"), 8, 0, " and Dan"); /* Ben: other words, for the same item */
  meet(anna, ben), show("after", anna);
  syncline_list_free(of_anna), syncline_list_free(of_ben);
  syncline_document_free(anna), syncline_document_free(ben);
}
