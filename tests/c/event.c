#include "check.h"

static syncline_change_info change_of(const syncline_event *event) {
  syncline_change_info info;
  memset(&info, 0xff, sizeof info);
  info.struct_size = sizeof info;
  OK(syncline_event_change(event, &info));
  return info;
}

static void text_events(void) {
  syncline_document *document = new_document();
  syncline_text *text = new_text(document, "body");
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_text_subscribe(text, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_text_insert(text, 0, S("hello")));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = change_of(event);
  CHECK(info.origin == SYNCLINE_ORIGIN_LOCAL && info.tag.len == 0 && info.peer.len == 0);
  CHECK(info.transaction > 0 && info.target_count == 1);
  const syncline_change_target *target = info.targets;
  CHECK(same(target->id, "body") && same(target->type_name, "CRDTFugueTextHandler"));
  CHECK(target->path == NULL && target->map_op_count == 0 && target->list_op_count == 0);
  CHECK(target->text_op_count == 1);
  CHECK(target->text_ops[0].kind == SYNCLINE_OP_INSERT && target->text_ops[0].length == 5);
  CHECK(same(target->text_ops[0].text, "hello"));
  CHECK(target->text_ops[0].embed == NULL && target->text_ops[0].attributes == NULL);

  /* Retained, it stays readable when everything else is gone. */
  syncline_event *kept = syncline_event_retain(event);
  CHECK(kept == event);
  syncline_event_free(event);

  /* One event per transaction, with its tag. */
  OK(syncline_document_begin(document, B("tag", 3)));
  OK(syncline_text_remove(text, 1, 3));
  OK(syncline_text_insert(text, 2, S("!")));
  OK(syncline_document_commit(document));
  CHECK(syncline_queue_length(queue) == 1);
  event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info second = change_of(event);
  CHECK(second.transaction == info.transaction + 1);
  CHECK(second.tag.len == 3 && memcmp(second.tag.data, "tag", 3) == 0);
  CHECK(second.targets[0].text_op_count >= 3);
  CHECK(second.targets[0].text_ops[0].kind == SYNCLINE_OP_RETAIN);
  CHECK(second.targets[0].text_ops[0].length == 1);
  CHECK(second.targets[0].text_ops[1].kind == SYNCLINE_OP_REMOVE);
  CHECK(second.targets[0].text_ops[1].length == 3);
  syncline_event_free(event);

  /* A struct of an older program gets what it knows. */
  struct { size_t struct_size; uint32_t origin; uint32_t guard; } small = {16, 99, 77};
  OK(syncline_event_change(kept, (syncline_change_info *)(void *)&small));
  CHECK(small.struct_size == 16 && small.origin == SYNCLINE_ORIGIN_LOCAL && small.guard == 0);

  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
  syncline_text_free(text);
  syncline_document_free(document);
  CHECK(same(info.targets[0].text_ops[0].text, "hello"));
  CHECK(syncline_event_sequence(kept) == 1);
  syncline_event_free(kept);
}

static void document_events(void) {
  syncline_document *alice = new_document(), *bob = new_document();
  syncline_text *text = new_text(bob, "body");
  syncline_map *map = new_map(bob, "map");
  syncline_queue *queue = new_queue();
  syncline_subscription *all = NULL, *only_updates = NULL, *of_map = NULL;
  OK(syncline_document_subscribe(bob, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &all));

  syncline_text *theirs = new_text(alice, "body");
  syncline_map *their_map = new_map(alice, "map");
  syncline_value one = int_value(1), two = string_value("two");
  OK(syncline_text_insert(theirs, 0, S("hi")));
  OK(syncline_map_set(their_map, S("k"), &one));
  copy_changes(alice, bob);

  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = change_of(event);
  syncline_peer_id peer = syncline_document_peer_id(alice);
  syncline_buffer name;
  OK(syncline_peer_id_format(&peer, &name));
  CHECK(info.origin == SYNCLINE_ORIGIN_REMOTE);
  CHECK(same(info.peer, (const char *)name.data));
  syncline_buffer_free(&name);
  CHECK(info.target_count == 2);
  const syncline_change_target *target = &info.targets[same(info.targets[0].id, "map") ? 0 : 1];
  CHECK(same(target->id, "map") && target->map_op_count == 1 && target->text_op_count == 0);
  CHECK(target->map_ops[0].kind == SYNCLINE_OP_INSERT && same(target->map_ops[0].key, "k"));
  CHECK(target->map_ops[0].old_value == NULL && value_is(target->map_ops[0].new_value, "1"));
  syncline_buffer json;
  OK(syncline_event_to_json(event, &json));
  syncline_value *parsed = NULL;
  OK(syncline_value_from_json(syncline_buffer_string(&json), &parsed));
  CHECK(same(syncline_value_get(parsed, S("type"))->data.string, "change"));
  syncline_value_free(parsed);
  syncline_buffer_free(&json);
  syncline_event_free(event);

  event = next_event(queue, SYNCLINE_EVENT_UPDATE);
  syncline_update_info update;
  update.struct_size = sizeof update;
  OK(syncline_event_update(event, &update));
  CHECK(update.origin == SYNCLINE_ORIGIN_REMOTE && update.change_count == 2 && update.update_v2.len == 0);
  INVALID(syncline_event_update(event, NULL));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_change(event, &info));
  OK(syncline_event_to_json(event, &json));
  syncline_buffer_free(&json);
  syncline_event_free(event);
  CHECK(syncline_queue_length(queue) == 0);
  syncline_subscription_free(all);

  /* Masks; and an update is what another replica needs, no more. */
  OK(syncline_document_subscribe(bob, SYNCLINE_OPTIONS(syncline_listener, .queue = queue, .mask = (uint64_t)1 << SYNCLINE_EVENT_UPDATE), &only_updates));
  OK(syncline_map_subscribe(map, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &of_map));
  OK(syncline_text_insert(text, 2, S(" there")));
  CHECK(syncline_queue_length(queue) == 1); /* nothing for the map */
  event = next_event(queue, SYNCLINE_EVENT_UPDATE);
  update.struct_size = sizeof update;
  OK(syncline_event_update(event, &update));
  CHECK(update.origin == SYNCLINE_ORIGIN_LOCAL && update.change_count == 1);
  uint64_t applied = 0;
  OK(syncline_document_import_changes(alice, update.update, &applied));
  CHECK(applied == 1 && text_is(theirs, "hi there"));
  syncline_event_free(event);

  OK(syncline_document_begin(bob, no_bytes()));
  OK(syncline_map_set(map, S("k"), &two));
  OK(syncline_map_set(map, S("n"), &one));
  OK(syncline_document_commit(bob));
  event = NULL;
  int changes = 0;
  while (syncline_queue_poll(queue, &event) == SYNCLINE_OK) {
    if (syncline_event_get_type(event) == SYNCLINE_EVENT_CHANGE) {
      info = change_of(event);
      CHECK(info.target_count == 1 && info.targets[0].map_op_count == 2);
      CHECK(info.targets[0].map_ops[0].kind == SYNCLINE_OP_UPDATE);
      CHECK(value_is(info.targets[0].map_ops[0].old_value, "1"));
      CHECK(value_is(info.targets[0].map_ops[0].new_value, "\"two\""));
      changes++;
    }
    syncline_event_free(event);
  }
  CHECK(changes == 1);

  /* A transaction that was rolled back is no event. */
  OK(syncline_document_begin(bob, no_bytes()));
  OK(syncline_map_remove(map, S("k")));
  OK(syncline_document_rollback(bob));
  CHECK(syncline_queue_length(queue) == 0);

  /* CLOSED is the last event. */
  OK(syncline_document_close(bob));
  CHECK(!syncline_subscription_is_active(of_map) && !syncline_subscription_is_active(only_updates));
  for (int i = 0; i < 2; i++) {
    event = next_event(queue, SYNCLINE_EVENT_CLOSED);
    EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_update(event, &update));
    OK(syncline_event_to_json(event, &json));
    syncline_buffer_free(&json);
    syncline_event_free(event);
  }
  CHECK(syncline_queue_length(queue) == 0);
  syncline_subscription *late = NULL;
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_map_subscribe(map, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &late));
  CHECK(late == NULL);
  syncline_subscription_free(only_updates);
  syncline_subscription_free(of_map);
  syncline_queue_free(queue);
  syncline_text_free(text);
  syncline_map_free(map);
  syncline_text_free(theirs);
  syncline_map_free(their_map);



  syncline_document_free(alice);
  syncline_document_free(bob);
}

/* A consumer that follows a text by its deltas alone, in the document's unit. */
typedef struct { syncline_text *text; syncline_text *shadow; syncline_text_unit unit; } follower;

static void follow(void *user_data, const syncline_event *event) {
  follower *f = (follower *)user_data;
  syncline_change_info info = change_of(event);
  for (size_t i = 0; i < info.target_count; i++) {
    OK(syncline_text_apply_delta(f->shadow, info.targets[i].text_ops, info.targets[i].text_op_count));
  }
}

static void deltas_in_every_unit(void) {
  const char *pieces[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "xyz", "\xf0\x9f\x98\x80\xf0\x9f\x98\x81"};
  for (int unit = SYNCLINE_TEXT_UNIT_UTF16; unit <= SYNCLINE_TEXT_UNIT_CODE_POINT; unit++) {
    syncline_document *document = new_document_with_unit((syncline_text_unit)unit);
    syncline_document *copy = new_document_with_unit((syncline_text_unit)unit);
    follower f = {new_text(document, "t"), new_text(copy, "t"), (syncline_text_unit)unit};
    OK(syncline_text_insert(f.text, 0, S("\xe2\x82\xac start")));
    OK(syncline_text_insert(f.shadow, 0, S("\xe2\x82\xac start")));
    syncline_queue *queue = new_queue();
    syncline_subscription *subscription = NULL;
    OK(syncline_text_subscribe(f.text, SYNCLINE_OPTIONS(syncline_listener, .queue = queue, .callback = follow, .user_data = &f), &subscription));
    uint32_t random = 12345;
    for (int step = 0; step < 400; step++) {
      random = random * 1664525 + 1013904223;
      uint64_t length = syncline_text_length(f.text);
      uint64_t index = length ? (random >> 8) % (length + 1) : 0;
      syncline_status status = SYNCLINE_OK;
      if (step % 7 == 0) OK(syncline_document_begin(document, no_bytes()));
      if ((random & 3) == 0 && index < length) status = syncline_text_remove(f.text, index, 1 + (random >> 4) % 3);
      else status = syncline_text_insert(f.text, index, S(pieces[(random >> 16) % 6]));
      CHECK(status == SYNCLINE_OK || status == SYNCLINE_ERROR_OUT_OF_RANGE ||
            (status == SYNCLINE_ERROR_NOT_ON_BOUNDARY && unit != SYNCLINE_TEXT_UNIT_UTF16));
      if (step % 7 == 0) {
        OK(syncline_text_insert(f.text, 0, S("\xc3\xa9")));
        OK(syncline_document_commit(document));
      }
      OK(syncline_queue_dispatch(queue, 0, NULL));
      if (unit != SYNCLINE_TEXT_UNIT_UTF16) { /* lone halves become U+FFFD in events */
        syncline_buffer content;
        OK(syncline_text_to_string(f.text, &content));
        CHECK(text_is(f.shadow, (const char *)content.data));
        syncline_buffer_free(&content);
      }
      CHECK(syncline_text_length(f.text) == syncline_text_length(f.shadow));
    }
    CHECK(syncline_text_length(f.text) > 50);
    syncline_subscription_free(subscription);
    syncline_queue_free(queue);
    syncline_text_free(f.text);
    syncline_text_free(f.shadow);
    syncline_document_free(document);
    syncline_document_free(copy);
  }
}

static void bad_arguments(void) {
  syncline_document *document = new_document();
  syncline_change_info change = {.struct_size = sizeof change};
  syncline_update_info update = {.struct_size = sizeof update};
  syncline_buffer json = {0};
  syncline_event *bad[2] = {NULL, (syncline_event *)document};
  for (int i = 0; i < 2; i++) {
    CHECK(syncline_event_get_type(bad[i]) == SYNCLINE_EVENT_OVERFLOW);
    CHECK(syncline_event_sequence(bad[i]) == 0 && syncline_event_time_ms(bad[i]) == 0);
    CHECK(syncline_event_user_data(bad[i]) == NULL && syncline_event_retain(bad[i]) == NULL);
    INVALID(syncline_event_change(bad[i], &change));
    INVALID(syncline_event_update(bad[i], &update));
    INVALID(syncline_event_to_json(bad[i], &json));
    syncline_event_free(bad[i]);
  }
  syncline_text *text = new_text(document, "t");
  syncline_queue *queue = new_queue();
  syncline_subscription *subscription = NULL;
  OK(syncline_text_subscribe(text, SYNCLINE_OPTIONS(syncline_listener, .queue = queue), &subscription));
  OK(syncline_text_insert(text, 0, S("x")));
  syncline_event *event = next_event(queue, SYNCLINE_EVENT_CHANGE);
  INVALID(syncline_event_change(event, NULL));
  change.struct_size = 0;
  INVALID(syncline_event_change(event, &change));
  INVALID(syncline_event_to_json(event, NULL));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_event_update(event, &update));
  syncline_event_free(event);
  syncline_subscription_free(subscription);
  syncline_queue_free(queue);
  syncline_text_free(text);
  syncline_document_free(document);
}

int main(void) {
  text_events();
  document_events();
  deltas_in_every_unit();
  bad_arguments();
  return finish("event");
}
