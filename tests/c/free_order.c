/* Garbage collectors free in any order: all permutations of what belongs together. */
#include "check.h"

enum { STORE, DOCUMENT, TEXT, HANDLER, SUBSCRIPTION, QUEUE, ITERATOR, EVENT, COUNT };

static void free_one(int which, void **objects) {
  switch (which) {
    case STORE: syncline_store_free((syncline_store *)objects[which]); break;
    case DOCUMENT: syncline_document_free((syncline_document *)objects[which]); break;
    case TEXT: syncline_text_free((syncline_text *)objects[which]); break;
    case HANDLER: syncline_handler_free((syncline_handler *)objects[which]); break;
    case SUBSCRIPTION: syncline_subscription_free((syncline_subscription *)objects[which]); break;
    case QUEUE: syncline_queue_free((syncline_queue *)objects[which]); break;
    case ITERATOR: syncline_iterator_free((syncline_iterator *)objects[which]); break;
    default: syncline_event_free((syncline_event *)objects[which]); break;
  }
}

static void run(const int *order) {
  syncline_store *store = NULL;
  syncline_document *document = NULL;
  syncline_handler *handler = NULL;
  syncline_subscription *subscription = NULL;
  syncline_iterator *iterator = NULL;
  OK(syncline_store_new_memory(&store));
  OK(syncline_store_open_document(store, NULL, &document));
  syncline_text *text = new_text(document, "t");
  syncline_queue *queue = new_queue();
  OK(syncline_text_as_handler(text, &handler));
  OK(syncline_text_subscribe(text, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_text_insert(text, 0, S("x")));
  OK(syncline_text_insert(text, 0, S("y")));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  OK(syncline_document_iterate_handlers(document, &iterator));
  OK(syncline_iterator_next(iterator));
  void *objects[COUNT] = {store, document, text, handler, subscription, queue, iterator, event};
  for (int i = 0; i < COUNT; i++) free_one(order[i], objects);
}

int main(void) {
  /* 8! orders would only repeat themselves: all rotations and swaps of a shuffled order. */
  int order[COUNT];
  uint32_t random = 4711;
  for (int i = 0; i < COUNT; i++) order[i] = i;
  for (int round = 0; round < 150; round++) {
    for (int i = COUNT - 1; i > 0; i--) {
      random = random * 1664525 + 1013904223;
      int j = (int)((random >> 8) % (uint32_t)(i + 1)), kept = order[i];
      order[i] = order[j];
      order[j] = kept;
    }
    run(order);
  }
  /* Every pair in both orders, first. */
  for (int a = 0; a < COUNT; a++) {
    for (int b = 0; b < COUNT; b++) {
      if (a == b) continue;
      int at = 2;
      order[0] = a;
      order[1] = b;
      for (int i = 0; i < COUNT; i++)
        if (i != a && i != b) order[at++] = i;
      run(order);
    }
  }
  return finish("free_order");
}
