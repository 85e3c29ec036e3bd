/* Values that lost against one written at the same time; OR-maps, where a removal does not win. */
#include "check.h"

typedef struct replicas {
  syncline_document *here, *there;
} replicas;

static replicas two(void) {
  replicas r = {new_document(), new_document()};
  return r;
}

static void meet(const replicas *r) {
  copy_changes(r->here, r->there);
  copy_changes(r->there, r->here);
}

static void free_replicas(replicas *r) {
  syncline_document_free(r->here);
  syncline_document_free(r->there);
}

/* The losing values as a JSON array; checks that each names its writer. Frees the iterator. */
static bool take_losers(syncline_iterator *it, const char *json) {
  char got[200] = "[";
  while (syncline_iterator_next(it) == SYNCLINE_OK) {
    const syncline_value *conflict = syncline_iterator_value(it);
    const syncline_value *peer = syncline_value_get(conflict, S("peer")), *clock = syncline_value_get(conflict, S("clock"));
    syncline_peer_id id;
    OK(syncline_peer_id_parse(peer->data.string, &id));
    CHECK(clock->type == SYNCLINE_VALUE_INT && syncline_hlc_time_ms((syncline_hlc)clock->data.integer) > 0);
    syncline_buffer text;
    OK(syncline_value_to_json(syncline_value_get(conflict, S("value")), &text));
    CHECK(strlen(got) + text.len + 2 < sizeof got);
    if (strlen(got) > 1) strcat(got, ",");
    strcat(got, (const char *)text.data);
    syncline_buffer_free(&text);
  }
  strcat(got, "]");
  syncline_iterator_free(it);
  if (strcmp(got, json)) fprintf(stderr, "got %s\n", got);
  return strcmp(got, json) == 0;
}

static bool map_losers(const syncline_map *map, const char *key, const char *json) {
  syncline_iterator *it = NULL;
  OK(syncline_map_iterate_conflicts(map, S(key), &it));
  return take_losers(it, json);
}

static bool map_has(const syncline_map *map, const char *key, const char *json) {
  syncline_value *value = NULL;
  OK(syncline_map_get(map, S(key), &value));
  return take_value_is(value, json);
}

static void set(syncline_map *map, const char *key, int64_t number) {
  syncline_value value = int_value(number);
  OK(syncline_map_set(map, S(key), &value));
}

static void maps(syncline_handler_kind kind) {
  replicas r = two();
  syncline_map *a = new_map_of(r.here, "m", kind), *b = new_map_of(r.there, "m", kind);
  set(a, "k", 1);
  meet(&r);
  set(a, "k", 2);
  set(b, "k", 3);
  set(b, "k", 4); /* its writer knew the 3 */
  meet(&r);
  bool ours = false;
  syncline_value *value = NULL;
  OK(syncline_map_get(a, S("k"), &value));
  ours = value->data.integer == 2;
  syncline_value_free(value);
  CHECK(map_has(b, "k", ours ? "2" : "4"));
  CHECK(map_losers(a, "k", ours ? "[4]" : "[2]") && map_losers(b, "k", ours ? "[4]" : "[2]"));
  CHECK(map_losers(a, "other", "[]"));
  set(a, "k", 5); /* whoever writes now has seen all of them */
  meet(&r);
  CHECK(map_has(b, "k", "5") && map_losers(a, "k", "[]") && map_losers(b, "k", "[]"));
  syncline_map_free(a);
  syncline_map_free(b);
  free_replicas(&r);
}

static void registers(void) {
  replicas r = two();
  syncline_register *a = NULL, *b = NULL;
  OK(syncline_document_get_register(r.here, S("r"), NULL, &a));
  OK(syncline_document_get_register(r.there, S("r"), NULL, &b));
  syncline_value one = int_value(1), two_ = int_value(2), *value = NULL;
  OK(syncline_register_set(a, &one));
  OK(syncline_register_set(b, &two_));
  meet(&r);
  OK(syncline_register_get(a, &value));
  bool ours = value->data.integer == 1;
  syncline_value_free(value);
  syncline_register *both[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    syncline_iterator *it = NULL;
    OK(syncline_register_iterate_conflicts(both[i], &it));
    CHECK(take_losers(it, ours ? "[2]" : "[1]"));
    syncline_register_free(both[i]);
  }
  free_replicas(&r);
}

static void movable_lists(void) {
  replicas r = two();
  syncline_list *a = new_list(r.here, "l", SYNCLINE_HANDLER_MOVABLE_LIST), *b = new_list(r.there, "l", SYNCLINE_HANDLER_MOVABLE_LIST);
  syncline_value numbers[2] = {int_value(1), int_value(2)}, ten = int_value(10), twenty = int_value(20), *value = NULL;
  OK(syncline_list_push(a, numbers, 2));
  meet(&r);
  OK(syncline_list_update(a, 0, &ten));
  OK(syncline_list_update(b, 0, &twenty));
  OK(syncline_list_move(b, 0, 2)); /* the value follows the element */
  meet(&r);
  CHECK(syncline_list_length(a) == 2 && syncline_list_length(b) == 2);
  OK(syncline_list_get(a, 1, &value));
  bool ours = value->data.integer == 10;
  syncline_value_free(value);
  syncline_list *both[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    syncline_iterator *it = NULL;
    OK(syncline_list_iterate_conflicts(both[i], 1, &it));
    CHECK(take_losers(it, ours ? "[20]" : "[10]"));
    OK(syncline_list_iterate_conflicts(both[i], 0, &it));
    CHECK(take_losers(it, "[]"));
    syncline_list_free(both[i]);
  }
  free_replicas(&r);
}

/* A put wins over a removal that did not know it; keys may be any JSON value. */
static void or_maps(void) {
  replicas r = two();
  syncline_map *a = new_map_of(r.here, "m", SYNCLINE_HANDLER_OR_MAP), *b = new_map_of(r.there, "m", SYNCLINE_HANDLER_OR_MAP);
  set(a, "k", 1);
  meet(&r);
  OK(syncline_map_remove(a, S("k")));
  set(b, "k", 2);
  meet(&r);
  CHECK(map_has(a, "k", "2") && map_has(b, "k", "2"));
  OK(syncline_map_remove(b, S("k")));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_remove(b, S("k")));
  meet(&r);
  CHECK(syncline_map_length(a) == 0 && !syncline_map_contains(a, S("k")));
  syncline_value one = int_value(1), seven = int_value(7), text = string_value("k"), *value = &one;
  EXPECT(SYNCLINE_ERROR_TYPE_MISMATCH, syncline_map_update(a, S("k"), &one));

  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_get_any(a, &seven, &value));
  CHECK(value == NULL);
  OK(syncline_map_set_any(a, &seven, &one));
  OK(syncline_map_set_any(a, &text, &seven));
  CHECK(syncline_map_length(a) == 2 && map_has(a, "k", "7") && !syncline_map_contains(a, S("7")));
  OK(syncline_map_get_any(a, &seven, &value));
  CHECK(take_value_is(value, "1"));
  OK(syncline_map_to_value(a, false, &value));
  CHECK(take_value_is(value, "{\"7\":1,\"k\":7}"));
  value = NULL;
  OK(syncline_map_remove_any(a, &seven));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_remove_any(a, &seven));
  OK(syncline_map_remove_any(a, &text));
  CHECK(syncline_map_length(a) == 0);

  /* Other maps have string keys only. */
  syncline_map *plain = new_map(r.here, "plain");
  OK(syncline_map_set_any(plain, &text, &one));
  OK(syncline_map_get_any(plain, &text, &value));
  CHECK(take_value_is(value, "1"));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_get_any(plain, &seven, &value));
  INVALID(syncline_map_set_any(plain, &seven, &one));
  EXPECT(SYNCLINE_NOT_FOUND, syncline_map_remove_any(plain, &seven));
  OK(syncline_map_remove_any(plain, &text));
  CHECK(value == NULL && syncline_map_length(plain) == 0);

  syncline_value bytes = bytes_value("x", 1), undefined = plain_value(SYNCLINE_VALUE_UNDEFINED);
  INVALID(syncline_map_set_any(a, &bytes, &one)); /* not in JSON */
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_map_set_any(a, &undefined, &one));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_map_get_any(a, &undefined, &value));
  syncline_map *wrong[2] = {NULL, (syncline_map *)r.here};
  syncline_iterator *it = NULL;
  syncline_handler *handler = NULL, *child = NULL;
  OK(syncline_map_as_handler(a, &handler));
  CHECK(syncline_handler_get_kind(handler) == SYNCLINE_HANDLER_OR_MAP);
  CHECK(same(syncline_handler_type_name(handler), "CRDTORMapHandler<dynamic, dynamic>"));
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_map_get_any(wrong[i], &one, &value));
    INVALID(syncline_map_set_any(wrong[i], &one, &one));
    INVALID(syncline_map_remove_any(wrong[i], &one));
    INVALID(syncline_map_iterate_conflicts(wrong[i], S("k"), &it));
    INVALID(syncline_map_set_ref(wrong[i], S("k"), handler));
    INVALID(syncline_map_set_ref(a, S("k"), (syncline_handler *)wrong[i]));
    INVALID(syncline_map_get_ref(wrong[i], S("k"), &child));
  }
  INVALID(syncline_map_get_any(a, NULL, &value));
  INVALID(syncline_map_get_any(a, &one, NULL));
  INVALID(syncline_map_set_any(a, NULL, &one));
  INVALID(syncline_map_set_any(a, &one, NULL));
  INVALID(syncline_map_remove_any(a, NULL));
  INVALID(syncline_map_iterate_conflicts(a, bad_utf8(), &it));
  INVALID(syncline_map_iterate_conflicts(a, S("k"), NULL));
  INVALID(syncline_map_set_ref(a, bad_utf8(), handler));
  INVALID(syncline_map_get_ref(a, bad_length(), &child));
  INVALID(syncline_map_get_ref(a, S("k"), NULL));
  CHECK(!value && !it && !child && syncline_map_length(a) == 0);
  syncline_handler_free(handler);
  syncline_map_free(plain);
  syncline_map_free(a);
  syncline_map_free(b);
  free_replicas(&r);
}

int main(void) {
  maps(SYNCLINE_HANDLER_MAP);
  maps(SYNCLINE_HANDLER_OR_MAP);
  registers();
  movable_lists();
  or_maps();
  return finish("conflicts");
}
