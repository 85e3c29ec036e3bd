/* Two people write the same key at the same time: one value wins everywhere, and the other is not
 * lost but can be asked for. In an OR-map a removal does not win over a write it did not know. */
#include "example.h"

static syncline_map *map_of(syncline_document *document, syncline_handler_kind kind) {
  syncline_map *map = NULL;
  syncline_string id = kind == SYNCLINE_HANDLER_MAP ? SYNCLINE_STR("settings") : SYNCLINE_STR("guests");
  check(syncline_document_get_map(document, id, SYNCLINE_OPTIONS(syncline_handler_options, .kind = kind), &map));
  return map;
}

static void set(syncline_map *map, const char *key, const char *value) {
  syncline_value *given = json(value);
  check(syncline_map_set(map, syncline_str(key), given));
  syncline_value_free(given);
}

static void show_losers(const syncline_map *map, const char *key) {
  syncline_iterator *it = NULL;
  check(syncline_map_iterate_conflicts(map, syncline_str(key), &it));
  printf("%d lost", (int)syncline_iterator_remaining(it));
  while (syncline_iterator_next(it) == SYNCLINE_OK) {
    const syncline_value *conflict = syncline_iterator_value(it);
    printf(": %s", syncline_value_get(conflict, SYNCLINE_STR("value"))->data.string.data);
    printf(" by %.8s", syncline_value_get(conflict, SYNCLINE_STR("peer"))->data.string.data);
  }
  printf("\n");
  syncline_iterator_free(it);
}

int main(void) {
  syncline_document *anna = new_replica(1), *ben = new_replica(2);
  syncline_map *of_anna = map_of(anna, SYNCLINE_HANDLER_MAP), *of_ben = map_of(ben, SYNCLINE_HANDLER_MAP);
  set(of_anna, "colour", "\"red\"");
  set(of_ben, "colour", "\"blue\""); /* later, or by the greater peer id */
  meet(anna, ben);
  show("settings", anna);
  show_losers(of_anna, "colour");
  set(of_anna, "colour", "\"purple\""); /* whoever writes now has seen both */
  meet(anna, ben);
  show("settings", ben);
  show_losers(of_ben, "colour");

  syncline_map *guests = map_of(anna, SYNCLINE_HANDLER_OR_MAP), *same = map_of(ben, SYNCLINE_HANDLER_OR_MAP);
  set(guests, "Eve", "1");
  meet(anna, ben);
  check(syncline_map_remove(guests, SYNCLINE_STR("Eve"))); /* Anna: she does not come */
  set(same, "Eve", "2");                                   /* Ben: she brings a friend */
  meet(anna, ben);
  show("guests", anna);
  syncline_map_free(of_anna), syncline_map_free(of_ben), syncline_map_free(guests), syncline_map_free(same);
  syncline_document_free(anna), syncline_document_free(ben);
}
