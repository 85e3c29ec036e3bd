/* A document of documents: a notebook refers to a title and to pages. Other replicas make the same
 * handlers by themselves, and one deep listener hears what happens anywhere below, and where. */
#include "example.h"

static syncline_text *text_of(syncline_handler *handler) {
  syncline_text *text = NULL;
  check(syncline_handler_as_text(handler, &text));
  syncline_handler_free(handler);
  return text;
}

static void on_change(void *user_data, const syncline_event *event) {
  syncline_change_info info = {.struct_size = sizeof info};
  (void)user_data;
  if (syncline_event_change(event, &info) < 0) return;
  for (size_t i = 0; i < info.target_count; i++) {
    syncline_buffer path = {0};
    check(syncline_value_to_json(info.targets[i].path, &path));
    printf("changed: %s\n", (const char *)path.data);
    syncline_buffer_free(&path);
  }
}

int main(void) {
  syncline_document *laptop = new_replica(1), *phone = new_replica(2);
  syncline_handler *notebook = NULL, *title = new_handler(laptop, "CRDTFugueTextHandler");
  syncline_handler *pages = new_handler(laptop, "CRDTListRefHandler"), *page = new_handler(laptop, "CRDTFugueTextHandler");
  syncline_map *map = NULL, *same = NULL;
  syncline_list *list = NULL;
  check(syncline_document_resolve(laptop, SYNCLINE_STR("notebook"), SYNCLINE_STR("CRDTMapRefHandler"), &notebook));
  check(syncline_handler_as_map(notebook, &map)), check(syncline_handler_as_list(pages, &list));
  check(syncline_map_set_ref(map, SYNCLINE_STR("title"), title));
  check(syncline_map_set_ref(map, SYNCLINE_STR("pages"), pages));
  check(syncline_list_insert_ref(list, 0, page));
  check(syncline_list_insert_ref(list, 1, title)); /* a child may have several parents */
  syncline_text *heading = text_of(title), *first = text_of(page);
  check(syncline_text_insert(heading, 0, SYNCLINE_STR("Plans")));
  send_changes(laptop, phone);
  show("phone", phone);

  syncline_queue *queue = NULL;
  syncline_subscription *subscription = NULL;
  check(syncline_queue_new(NULL, &queue));
  check(syncline_document_get_map(phone, SYNCLINE_STR("notebook"), SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_MAP_REF), &same));
  check(syncline_map_subscribe(same, SYNCLINE_OPTIONS(syncline_listener, .queue = queue, .callback = on_change, .deep = true), &subscription));
  check(syncline_text_insert(first, 0, SYNCLINE_STR("Sail around the world")));
  send_changes(laptop, phone);
  check(syncline_queue_dispatch(queue, 10, NULL)); /* an application would let its event loop do this */
  show("phone", phone);
  syncline_subscription_free(subscription), syncline_queue_free(queue);
  syncline_text_free(heading), syncline_text_free(first), syncline_list_free(list);
  syncline_map_free(map), syncline_map_free(same), syncline_handler_free(notebook), syncline_handler_free(pages);
  syncline_document_free(laptop), syncline_document_free(phone);
}
