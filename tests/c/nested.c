/* Handlers that refer to handlers: references, types that are made by themselves, deep events,
 * merged snapshots. */
#include "check.h"

static syncline_handler *as_handler_of_text(syncline_document *document, const char *id, const char *content) {
  syncline_text *text = new_text(document, id);
  if (content[0]) OK(syncline_text_insert(text, 0, S(content)));
  syncline_handler *handler = NULL;
  OK(syncline_text_as_handler(text, &handler));
  syncline_text_free(text);
  return handler;
}

static syncline_handler *as_handler_of_map(syncline_map *map) {
  syncline_handler *handler = NULL;
  OK(syncline_map_as_handler(map, &handler));
  return handler;
}

static bool json_is(const syncline_document *document, const char *json) {
  syncline_buffer text;
  OK(syncline_document_to_json(document, &text));
  return take_equals(&text, json);
}

/* root {title: text, tasks: list of references [note text, inner map {}]} */
static void build_tree(syncline_document *document) {
  syncline_map *root = new_map_of(document, "root", SYNCLINE_HANDLER_MAP_REF);
  syncline_map *inner = new_map_of(document, "inner", SYNCLINE_HANDLER_MAP_REF);
  syncline_list *tasks = new_list(document, "tasks", SYNCLINE_HANDLER_LIST_REF);
  syncline_handler *title = as_handler_of_text(document, "title", "Home");
  syncline_handler *note = as_handler_of_text(document, "note", "milk");
  syncline_handler *of_inner = as_handler_of_map(inner), *of_tasks = NULL;
  OK(syncline_list_as_handler(tasks, &of_tasks));
  OK(syncline_map_set_ref(root, S("title"), title));
  OK(syncline_map_set_ref(root, S("tasks"), of_tasks));
  OK(syncline_list_insert_ref(tasks, 0, of_inner));
  OK(syncline_list_insert_ref(tasks, 0, note));
  syncline_handler_free(title);
  syncline_handler_free(note);
  syncline_handler_free(of_inner);
  syncline_handler_free(of_tasks);
  syncline_list_free(tasks);
  syncline_map_free(root);
  syncline_map_free(inner);
}

static void references(void) {
  syncline_document *document = new_document();
  build_tree(document);
  CHECK(json_is(document, "{\"root\":{\"title\":\"Home\",\"tasks\":[\"milk\",{}]}}"));
  syncline_iterator *it = NULL;
  OK(syncline_document_iterate_roots(document, &it));
  OK(syncline_iterator_next(it));
  syncline_handler *root = NULL;
  OK(syncline_iterator_handler(it, &root));
  CHECK(same(syncline_iterator_key(it), "root") && syncline_handler_get_kind(root) == SYNCLINE_HANDLER_MAP_REF);
  EXPECT(SYNCLINE_END, syncline_iterator_next(it));
  syncline_iterator_free(it);

  /* As they are, and resolved; in both forms. */
  syncline_buffer text;
  syncline_value *value = NULL;
  OK(syncline_handler_to_json(root, true, &text));
  CHECK(take_equals(&text, "{\"title\":\"Home\",\"tasks\":[\"milk\",{}]}"));
  OK(syncline_handler_to_json(root, false, &text));
  CHECK(take_equals(&text, "{\"title\":{\"type\":\"CRDTFugueTextHandler\",\"id\":\"title\"},"
                           "\"tasks\":{\"type\":\"CRDTListRefHandler\",\"id\":\"tasks\"}}"));
  OK(syncline_handler_to_value(root, false, &value));
  const syncline_value *ref = syncline_value_get(value, S("tasks"));
  CHECK(ref->type == SYNCLINE_VALUE_REF && same(ref->data.string, "tasks") && same(ref->ref_type, "CRDTListRefHandler"));
  syncline_value_free(value);
  syncline_map *map = NULL;
  OK(syncline_handler_as_map(root, &map));
  OK(syncline_map_to_value(map, true, &value));
  CHECK(take_value_is(value, "{\"title\":\"Home\",\"tasks\":[\"milk\",{}]}"));
  syncline_handler_free(root);

  /* From a container to its child. */
  syncline_handler *child = NULL, *none = NULL;
  OK(syncline_map_get_ref(map, S("tasks"), &child));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_get_ref(map, S("nothing"), &none));
  syncline_list *tasks = NULL;
  OK(syncline_handler_as_list(child, &tasks));
  syncline_handler_free(child);
  OK(syncline_list_to_value(tasks, true, &value));
  CHECK(take_value_is(value, "[\"milk\",{}]"));
  OK(syncline_list_get_ref(tasks, 0, &child));
  CHECK(same(syncline_handler_id(child), "note"));
  EXPECT(SYNCLINE_ERROR_OUT_OF_RANGE, syncline_list_get_ref(tasks, 2, &none));

  /* A reference is a value, too; one that leads nowhere is null when resolved. */
  syncline_value nowhere = ref_value("gone", "CRDTMapHandler<num>"), one = int_value(1);
  OK(syncline_list_push(tasks, &nowhere, 1));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_list_get_ref(tasks, 2, &none));
  OK(syncline_list_to_value(tasks, true, &value));
  CHECK(take_value_is(value, "[\"milk\",{},null]"));
  OK(syncline_map_set(map, S("nothing"), &nowhere));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_get_ref(map, S("nothing"), &none));
  OK(syncline_map_get(map, S("nothing"), &value));
  CHECK(syncline_value_equals(value, &nowhere));
  syncline_value_free(value);
  INVALID(syncline_map_set(map, S("k"), &one)); /* references only */
  INVALID(syncline_list_push(tasks, &one, 1));
  OK(syncline_map_remove(map, S("nothing")));
  CHECK(none == NULL);

  /* A circle shows itself once. */
  syncline_list *list = NULL;
  syncline_handler *of_list = NULL;
  OK(syncline_list_as_handler(tasks, &of_list));
  OK(syncline_list_remove(tasks, 0, 3));
  OK(syncline_list_insert_ref(tasks, 0, of_list));
  CHECK(json_is(document, "{\"root\":{\"title\":\"Home\",\"tasks\":[null]},\"inner\":{},\"note\":\"milk\"}"));
  CHECK(list == NULL);

  /* A child of another document, containers of other kinds. */
  syncline_document *other = new_document();
  syncline_handler *stranger = as_handler_of_text(other, "title", "");
  syncline_map *plain = new_map(document, "plain");
  INVALID(syncline_map_set_ref(map, S("k"), stranger));
  INVALID(syncline_list_insert_ref(tasks, 0, stranger));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_map_set_ref(plain, S("k"), child));
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_map_get_ref(plain, S("k"), &none));
  syncline_handler_free(stranger);
  syncline_document_free(other);
  syncline_map_free(plain);
  syncline_handler_free(of_list);
  syncline_handler_free(child);
  syncline_list_free(tasks);
  syncline_map_free(map);
  syncline_document_free(document);
}

/* What is nested more deeply than values may be is not resolved, and nothing overflows. */
static void deep_trees(void) {
  enum { DEPTH = 3000 };
  syncline_document *document = new_document();
  char id[32];
  syncline_map *parent = new_map_of(document, "0", SYNCLINE_HANDLER_MAP_REF);
  syncline_handler *root = as_handler_of_map(parent);
  OK(syncline_document_begin(document, no_bytes()));
  for (int depth = 1; depth <= DEPTH; depth++) {
    snprintf(id, sizeof id, "%d", depth);
    syncline_value ref = ref_value(id, "CRDTMapRefHandler");
    OK(syncline_map_set(parent, S("c"), &ref));
    syncline_map_free(parent);
    parent = new_map_of(document, id, SYNCLINE_HANDLER_MAP_REF);
  }
  OK(syncline_document_commit(document));
  syncline_buffer json = {0};
  syncline_value *value = NULL;
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_handler_to_json(root, true, &json));
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_handler_to_value(root, true, &value));
  EXPECT(SYNCLINE_ERROR_LIMIT, syncline_document_to_json(document, &json));
  OK(syncline_handler_to_value(root, false, &value));
  syncline_value_free(value);
  CHECK(json.data == NULL);
  syncline_map_free(parent);
  syncline_handler_free(root);
  syncline_document_free(document);
}

/* Handlers appear on another replica when their types are known there. */
static void types(void) {
  syncline_document *document = new_document();
  build_tree(document);
  syncline_map *root = new_map_of(document, "root", SYNCLINE_HANDLER_MAP_REF);
  syncline_map *numbers = NULL;
  OK(syncline_document_get_map(document, S("numbers"), SYNCLINE_OPTIONS(syncline_handler_options, .type_name = SYNCLINE_STR("CRDTMapHandler<num>")), &numbers));
  syncline_value one = int_value(1);
  OK(syncline_map_set(numbers, S("n"), &one));
  syncline_handler *of_numbers = as_handler_of_map(numbers), *found = NULL;
  OK(syncline_map_set_ref(root, S("numbers"), of_numbers));

  syncline_document *known = new_document();
  copy_changes(document, known);
  CHECK(json_is(known, "{\"root\":{\"title\":\"Home\",\"tasks\":[\"milk\",{}],\"numbers\":null}}"));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_document_resolve(known, S("numbers"), S("CRDTMapHandler<num>"), &found));
  OK(syncline_document_register_type(known, SYNCLINE_OPTIONS(syncline_handler_options, .type_name = SYNCLINE_STR("CRDTMapHandler<num>"))));
  OK(syncline_document_resolve(known, S("numbers"), S("CRDTMapHandler<num>"), &found));
  CHECK(syncline_handler_get_kind(found) == SYNCLINE_HANDLER_MAP);
  syncline_handler_free(found);
  found = NULL;
  CHECK(json_is(known, "{\"root\":{\"title\":\"Home\",\"tasks\":[\"milk\",{}],\"numbers\":{\"n\":1}}}"));
  syncline_document_free(known);

  syncline_document *unknown = NULL;
  OK(syncline_document_new(SYNCLINE_OPTIONS(syncline_document_options, .no_default_types = true), &unknown));
  copy_changes(document, unknown);
  CHECK(json_is(unknown, "{}"));
  syncline_map *their_root = new_map_of(unknown, "root", SYNCLINE_HANDLER_MAP_REF);
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_get_ref(their_root, S("tasks"), &found));
  OK(syncline_document_register_default_types(unknown));
  CHECK(!syncline_document_has_handler(unknown, S("note")));
  OK(syncline_document_reconstruct(unknown));
  CHECK(syncline_document_has_handler(unknown, S("note")) && syncline_document_has_handler(unknown, S("inner")));
  OK(syncline_map_get_ref(their_root, S("tasks"), &found));
  CHECK(same(syncline_handler_type_name(found), "CRDTListRefHandler"));
  syncline_handler_free(found);
  syncline_map_free(their_root);
  syncline_document_free(unknown);

  /* Names of the application's own stand for a kind. */
  found = NULL;
  OK(syncline_document_register_type(document, SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_OR_SET, .codec = SYNCLINE_CODEC_BYTES, .type_name = SYNCLINE_STR("Tags"))));
  OK(syncline_document_resolve(document, S("tags"), S("Tags"), &found));
  syncline_set *tags = NULL;
  OK(syncline_handler_as_set(found, &tags));
  syncline_value bytes = bytes_value("\1", 1);
  OK(syncline_set_insert(tags, &bytes));
  syncline_set_free(tags);
  syncline_handler_free(found);

  found = NULL;
  INVALID(syncline_document_register_type(document, NULL));
  INVALID(syncline_document_register_type(document, SYNCLINE_OPTIONS(syncline_handler_options, .type_name = SYNCLINE_STR("Nobody"))));
  INVALID(syncline_document_register_type(document, SYNCLINE_OPTIONS(syncline_handler_options, .codec = SYNCLINE_CODEC_JSON)));
  INVALID(syncline_document_register_type(document, SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_CUSTOM, .type_name = SYNCLINE_STR("Own"))));
  INVALID(syncline_document_register_type(document, SYNCLINE_OPTIONS(syncline_handler_options, .kind = (syncline_handler_kind)14, .type_name = SYNCLINE_STR("Own"))));
  INVALID(syncline_document_register_type(document, SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_MAP, .type_name = bad_utf8())));
  syncline_document *bad[2] = {NULL, (syncline_document *)root};
  syncline_iterator *it = NULL;
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_document_register_type(bad[i], SYNCLINE_OPTIONS(syncline_handler_options, .kind = SYNCLINE_HANDLER_MAP)));
    INVALID(syncline_document_register_default_types(bad[i]));
    INVALID(syncline_document_reconstruct(bad[i]));
    INVALID(syncline_document_resolve(bad[i], S("i"), S("t"), &found));
    INVALID(syncline_document_iterate_roots(bad[i], &it));
  }
  INVALID(syncline_document_iterate_roots(document, NULL));
  INVALID(syncline_document_resolve(document, bad_utf8(), S("t"), &found));
  INVALID(syncline_document_resolve(document, S("i"), bad_utf8(), &found));
  INVALID(syncline_document_resolve(document, S("i"), S("t"), NULL));
  CHECK(!found && !it);
  OK(syncline_document_close(document));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_reconstruct(document));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_map_get_ref(root, S("title"), &found));
  syncline_handler_free(of_numbers);
  syncline_map_free(numbers);
  syncline_map_free(root);
  syncline_document_free(document);
}

static bool path_is(const syncline_change_target *target, const char *json) {
  return target->path && value_is(target->path, json);
}

/* A listener to the root hears what happens anywhere below it, and where. */
static void deep_events(syncline_text_unit unit) {
  syncline_document *document = new_document_with_unit(unit);
  build_tree(document);
  syncline_map *root = new_map_of(document, "root", SYNCLINE_HANDLER_MAP_REF);
  syncline_text *note = new_text(document, "note"), *alone = new_text(document, "alone");
  syncline_queue *deep = new_queue(), *flat = new_queue(), *of_note = new_queue();
  syncline_subscription *subscriptions[3] = {0};
  OK(syncline_map_subscribe(root, SYNCLINE_OPTIONS(syncline_listener, .queue = deep, .deep = true), &subscriptions[0]));
  OK(syncline_map_subscribe(root, SYNCLINE_OPTIONS(syncline_listener, .queue = flat), &subscriptions[1]));
  OK(syncline_text_subscribe(note, SYNCLINE_OPTIONS(syncline_listener, .queue = of_note, .deep = true), &subscriptions[2]));
  OK(syncline_text_insert(alone, 0, S("nobody listens")));
  OK(syncline_text_insert(note, 4, S(" \xc3\xa9")));
  syncline_event *event = next_event(deep, SYNCLINE_EVENT_CHANGE);
  syncline_change_info info = {.struct_size = sizeof info};
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 1 && same(info.targets[0].id, "note") && path_is(&info.targets[0], "[\"tasks\",0]"));
  CHECK(info.targets[0].text_op_count == 2 && info.targets[0].text_ops[0].length == 4);
  CHECK(info.targets[0].text_ops[1].length == (unit == SYNCLINE_TEXT_UNIT_UTF8 ? 3 : 2));
  syncline_buffer json;
  OK(syncline_event_to_json(event, &json));
  CHECK(strstr((char *)json.data, "\"path\":[\"tasks\",0]") != NULL);
  syncline_buffer_free(&json);
  syncline_event_free(event);
  event = next_event(of_note, SYNCLINE_EVENT_CHANGE); /* nothing is below a text */
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 1 && info.targets[0].path == NULL);
  syncline_event_free(event);
  CHECK(syncline_queue_length(flat) == 0);

  /* Two places in one transaction; the root itself has an empty path. */
  OK(syncline_document_begin(document, no_bytes()));
  OK(syncline_map_remove(root, S("title")));
  OK(syncline_text_remove(note, 0, 1));
  OK(syncline_document_commit(document));
  event = next_event(deep, SYNCLINE_EVENT_CHANGE);
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 2);
  for (size_t i = 0; i < 2; i++) {
    const syncline_change_target *target = &info.targets[i];
    if (same(target->id, "note")) CHECK(path_is(target, "[\"tasks\",0]") && target->text_op_count == 1);
    else CHECK(same(target->id, "root") && path_is(target, "[]") && target->map_op_count == 1 &&
               target->map_ops[0].kind == SYNCLINE_OP_REMOVE && target->map_ops[0].old_value->type == SYNCLINE_VALUE_REF);
  }
  OK(syncline_event_to_json(event, &json));
  CHECK(strstr((char *)json.data, "\"old\":{\"type\":\"CRDTFugueTextHandler\",\"id\":\"title\"}") != NULL);
  syncline_buffer_free(&json);
  syncline_event_free(event);
  event = next_event(flat, SYNCLINE_EVENT_CHANGE);
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 1 && same(info.targets[0].id, "root") && info.targets[0].path == NULL);
  syncline_event_free(event);
  CHECK(syncline_queue_length(deep) == 0);

  /* What comes below the root later is heard, too; a text that was edited unheard is counted right. */
  syncline_handler *of_alone = NULL;
  OK(syncline_text_as_handler(alone, &of_alone));
  OK(syncline_text_insert(alone, 0, S("\xc3\xa9\xc3\xa9, ")));
  OK(syncline_map_set_ref(root, S("alone"), of_alone));
  syncline_event_free(next_event(deep, SYNCLINE_EVENT_CHANGE));
  uint64_t length = syncline_text_length(alone);
  OK(syncline_text_insert(alone, length, S("!")));
  event = next_event(deep, SYNCLINE_EVENT_CHANGE);
  OK(syncline_event_change(event, &info));
  CHECK(path_is(&info.targets[0], "[\"alone\"]") && info.targets[0].text_ops[0].length == length);
  syncline_event_free(event);

  /* Another listener, with its eyes on a part: it hears of no more, and its paths begin there. */
  syncline_list *tasks = new_list(document, "tasks", SYNCLINE_HANDLER_LIST_REF);
  syncline_queue *of_tasks = new_queue();
  syncline_subscription *part = NULL;
  OK(syncline_list_subscribe(tasks, SYNCLINE_OPTIONS(syncline_listener, .queue = of_tasks, .deep = true), &part));
  OK(syncline_document_begin(document, no_bytes()));
  OK(syncline_text_insert(alone, 0, S("x")));
  OK(syncline_text_insert(note, 0, S("x")));
  OK(syncline_document_commit(document));
  event = next_event(of_tasks, SYNCLINE_EVENT_CHANGE);
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 1 && same(info.targets[0].id, "note") && path_is(&info.targets[0], "[0]"));
  syncline_event_free(event);
  event = next_event(deep, SYNCLINE_EVENT_CHANGE);
  OK(syncline_event_change(event, &info));
  CHECK(info.target_count == 2);
  syncline_event_free(event);
  syncline_subscription_free(part);
  syncline_queue_free(of_tasks);
  syncline_list_free(tasks);
  for (int i = 0; i < 3; i++) syncline_subscription_free(subscriptions[i]);
  OK(syncline_text_insert(note, 0, S("x")));
  CHECK(syncline_queue_length(deep) == 0);
  syncline_handler_free(of_alone);
  syncline_queue_free(deep);
  syncline_queue_free(flat);
  syncline_queue_free(of_note);
  syncline_text_free(note);
  syncline_text_free(alone);
  syncline_map_free(root);
  syncline_document_free(document);
}

/* Two concurrent snapshots: neither is newer, so only merging takes the other one. */
static void merged_snapshots(void) {
  syncline_document *alice = new_document(), *bob = new_document(), *carol = new_document();
  syncline_text *a = new_text(alice, "a"), *b = new_text(bob, "b");
  syncline_map *root = new_map_of(bob, "root", SYNCLINE_HANDLER_MAP_REF);
  OK(syncline_text_insert(a, 0, S("from alice")));
  OK(syncline_text_insert(b, 0, S("from bob")));
  syncline_snapshot *of_alice = NULL, *of_bob = NULL;
  OK(syncline_document_take_snapshot(alice, 0, &of_alice));
  OK(syncline_document_take_snapshot(bob, 0, &of_bob));
  CHECK(!syncline_document_should_apply_snapshot(bob, of_alice));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_import_snapshot(bob, of_alice, 0));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_import(bob, of_alice, no_bytes(), 0, NULL));
  OK(syncline_document_merge_snapshot(bob, of_alice, 0));
  syncline_text *their_a = new_text(bob, "a");
  CHECK(text_is(b, "from bob") && text_is(their_a, "from alice"));
  uint64_t applied = 9;
  OK(syncline_document_import(alice, of_bob, no_bytes(), SYNCLINE_SNAPSHOT_MERGE | SYNCLINE_SNAPSHOT_KEEP_HISTORY, &applied));
  CHECK(applied == 0 && text_is(a, "from alice"));
  /* A snapshot with a container lists its handlers, so they can be made without being asked for. */
  CHECK(!syncline_document_has_handler(alice, S("b")));
  OK(syncline_document_reconstruct(alice));
  CHECK(json_is(alice, "{\"a\":\"from alice\",\"b\":\"from bob\",\"root\":{}}"));
  OK(syncline_document_import_snapshot(carol, of_alice, 0));
  OK(syncline_document_import_snapshot(carol, of_bob, SYNCLINE_SNAPSHOT_MERGE));
  syncline_text_free(b);
  b = new_text(carol, "b");
  CHECK(text_is(b, "from bob"));
  OK(syncline_document_close(carol));
  EXPECT(SYNCLINE_ERROR_CLOSED, syncline_document_merge_snapshot(carol, of_bob, 0));
  syncline_snapshot_free(of_alice);
  syncline_snapshot_free(of_bob);
  syncline_map_free(root);
  syncline_text_free(their_a);
  syncline_text_free(a);
  syncline_text_free(b);
  syncline_document_free(alice);
  syncline_document_free(bob);
  syncline_document_free(carol);
}

int main(void) {
  references();
  deep_trees();
  types();
  deep_events(SYNCLINE_TEXT_UNIT_UTF16);
  deep_events(SYNCLINE_TEXT_UNIT_UTF8);
  merged_snapshots();
  return finish("nested");
}
