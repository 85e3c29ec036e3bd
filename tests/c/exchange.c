#include "check.h"

static syncline_buffer export_of(syncline_document *document, const syncline_version_vector *since) {
  syncline_buffer changes;
  OK(syncline_document_export_changes(document, since, &changes));
  return changes;
}

static void two_replicas(void) {
  syncline_document *alice = new_document(), *bob = new_document();
  syncline_text *a = new_text(alice, "t"), *b = new_text(bob, "t");
  OK(syncline_text_insert(a, 0, S("hello")));
  OK(syncline_text_insert(b, 0, S("world")));
  copy_changes(alice, bob);
  copy_changes(bob, alice);
  syncline_buffer text;
  OK(syncline_text_to_string(a, &text));
  CHECK(text.len == 10 && text_is(b, (char *)text.data));
  syncline_buffer_free(&text);

  /* Only what the other lacks. */
  syncline_version_vector *seen = NULL;
  OK(syncline_document_version_vector(bob, &seen));
  CHECK(syncline_version_vector_length(seen) == 2);
  OK(syncline_text_insert(a, 0, S(">")));
  OK(syncline_text_insert(a, 1, S(" ")));
  syncline_buffer changes = export_of(alice, seen);
  uint64_t applied = 77;
  OK(syncline_document_import_changes(bob, syncline_buffer_bytes(&changes), &applied));
  CHECK(applied == 2);
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_import_changes(bob, syncline_buffer_bytes(&changes), &applied));
  CHECK(applied == 0 && syncline_document_change_count(bob) == 4);

  /* From frontiers. */
  syncline_operation_id heads[4];
  size_t count = 0;
  OK(syncline_document_frontiers(bob, heads, 4, &count));
  CHECK(count == 1);
  size_t without_memory = 9;
  OK(syncline_document_frontiers(bob, NULL, 0, &without_memory));
  CHECK(without_memory == 1);
  OK(syncline_text_insert(a, 0, S("#")));
  syncline_buffer rest = {0};
  OK(syncline_document_export_changes_from(alice, heads, count, &rest));
  OK(syncline_document_import_changes(bob, syncline_buffer_bytes(&rest), &applied));
  CHECK(applied == 1);
  syncline_buffer_free(&rest);
  OK(syncline_document_export_changes_from(alice, NULL, 0, &rest));
  syncline_buffer all = export_of(alice, NULL);
  CHECK(all.len == rest.len && memcmp(all.data, rest.data, all.len) == 0);
  syncline_buffer_free(&rest);
  heads[0].clock[0] ^= 0xff;
  EXPECT(SYNCLINE_NOT_FOUND, syncline_document_export_changes_from(alice, heads, 1, &rest));
  CHECK(rest.data == NULL);

  /* One by one, too early first. */
  syncline_document *carol = new_document();
  syncline_text *c = new_text(carol, "t");
  syncline_iterator *it = NULL;
  syncline_change *first = NULL, *second = NULL;
  syncline_version_vector *nothing = NULL;
  OK(syncline_version_vector_new(&nothing));
  OK(syncline_document_iterate_changes(alice, nothing, &it));
  CHECK(syncline_iterator_remaining(it) == 5);
  syncline_iterator_free(it);
  OK(syncline_document_iterate_changes(alice, NULL, &it));
  OK(syncline_iterator_next(it));
  OK(syncline_iterator_change(it, &first));
  CHECK(syncline_iterator_bytes(it).len > 0);
  do {
    syncline_change_free(second);
    OK(syncline_iterator_next(it));
    OK(syncline_iterator_change(it, &second));
  } while (syncline_change_dep_count(second) == 0);
  EXPECT(SYNCLINE_ERROR_CAUSALLY_NOT_READY, syncline_document_apply_change(carol, second));
  CHECK(syncline_document_is_empty(carol));
  OK(syncline_document_apply_change(carol, first));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_apply_change(carol, first));
  CHECK(text_is(c, "hello"));
  syncline_iterator_free(it);

  /* What lacks changes is told. */
  syncline_document *dave = new_document();
  applied = 77;
  EXPECT(SYNCLINE_ERROR_CAUSALLY_NOT_READY, syncline_document_import_changes(dave, syncline_buffer_bytes(&changes), &applied));
  CHECK(applied == 77 && syncline_document_is_empty(dave));

  /* A change of bytes. */
  syncline_change *made = NULL;
  OK(syncline_document_create_change(dave, syncline_change_payload(first), &made));
  CHECK(syncline_document_change_count(dave) == 1);
  syncline_text *d = new_text(dave, "t");
  syncline_change_free(made);
  made = NULL;
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_document_create_change(dave, B("\xff", 1), &made));
  CHECK(made == NULL);

  /* Malformed bytes change nothing. */
  for (size_t len = 0; len < all.len; len++) {
    syncline_status status = syncline_document_import_changes(dave, B(all.data, len), &applied);
    CHECK(status == SYNCLINE_ERROR_MALFORMED && syncline_document_change_count(dave) == 1);
  }
  for (size_t at = 0; at < all.len; at++) {
    all.data[at] ^= 0x55;
    syncline_document_import_changes(dave, syncline_buffer_bytes(&all), NULL);
    all.data[at] ^= 0x55;
  }
  syncline_text_free(d);
  syncline_document_free(dave);
  syncline_buffer_free(&changes);
  syncline_buffer_free(&all);
  syncline_change_free(first);
  syncline_change_free(second);
  syncline_version_vector_free(seen);
  syncline_version_vector_free(nothing);
  syncline_text_free(a);
  syncline_text_free(b);
  syncline_text_free(c);
  syncline_document_free(alice);
  syncline_document_free(bob);
  syncline_document_free(carol);
}

static void snapshots(void) {
  syncline_document *alice = new_document(), *bob = new_document();
  syncline_text *a = new_text(alice, "t"), *b = new_text(bob, "t");
  syncline_snapshot *snapshot = NULL, *older = NULL;
  EXPECT(SYNCLINE_NOT_FOUND, syncline_document_last_snapshot(alice, &older));
  OK(syncline_text_insert(a, 0, S("one")));
  OK(syncline_document_take_snapshot(alice, SYNCLINE_SNAPSHOT_KEEP_HISTORY, &older));
  CHECK(syncline_document_change_count(alice) == 1);
  OK(syncline_text_insert(a, 3, S(" two")));
  OK(syncline_document_begin(alice, no_bytes()));
  EXPECT(SYNCLINE_ERROR_IN_TRANSACTION, syncline_document_take_snapshot(alice, 0, &snapshot));
  OK(syncline_document_commit(alice));
  OK(syncline_document_take_snapshot(alice, 0, &snapshot));
  CHECK(syncline_document_change_count(alice) == 0 && text_is(a, "one two"));
  OK(syncline_text_insert(a, 7, S(" three")));

  CHECK(syncline_document_should_apply_snapshot(bob, snapshot));
  OK(syncline_document_import_snapshot(bob, snapshot, 0));
  CHECK(text_is(b, "one two") && !syncline_document_should_apply_snapshot(bob, older));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_import_snapshot(bob, older, SYNCLINE_SNAPSHOT_KEEP_HISTORY));

  /* Snapshot and changes at once. */
  syncline_document *carol = new_document();
  syncline_text *c = new_text(carol, "t");
  syncline_buffer changes = export_of(alice, NULL);
  uint64_t applied = 0;
  OK(syncline_document_import(carol, snapshot, syncline_buffer_bytes(&changes), 0, &applied));
  CHECK(applied == 1 && text_is(c, "one two three"));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_import(carol, older, no_bytes(), 0, &applied));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_import(carol, NULL, no_bytes(), 0, NULL));
  INVALID(syncline_document_import(carol, snapshot, no_bytes(), 64, NULL));
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_document_import(carol, snapshot, B("x", 1), 0, NULL));
  INVALID(syncline_document_import(carol, snapshot, bad_bytes(), 0, NULL));
  syncline_snapshot *last = NULL;
  OK(syncline_document_last_snapshot(carol, &last));
  CHECK(syncline_snapshot_id(last).len > 0);

  /* Pruning what everybody has seen. */
  syncline_version_vector *seen = NULL;
  OK(syncline_document_version_vector(alice, &seen));
  EXPECT(SYNCLINE_UNCHANGED, syncline_document_prune(alice, seen));
  OK(syncline_document_take_snapshot(alice, SYNCLINE_SNAPSHOT_KEEP_HISTORY, NULL));
  OK(syncline_document_prune(alice, seen));
  CHECK(syncline_document_change_count(alice) == 0 && text_is(a, "one two three"));

  /* Snapshots as values. */
  syncline_buffer bytes = {0};
  OK(syncline_snapshot_encode(snapshot, &bytes));
  syncline_snapshot *read = NULL, *merged = NULL;
  OK(syncline_snapshot_decode(syncline_buffer_bytes(&bytes), &read));
  CHECK(syncline_snapshot_id(read).len == syncline_snapshot_id(snapshot).len);
  CHECK(memcmp(syncline_snapshot_id(read).data, syncline_snapshot_id(snapshot).data, syncline_snapshot_id(read).len) == 0);
  syncline_snapshot_free(read);
  read = NULL;
  for (size_t len = 0; len < bytes.len; len++) EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_snapshot_decode(B(bytes.data, len), &read));
  syncline_version_vector *covered = NULL;
  OK(syncline_snapshot_version_vector(snapshot, &covered));
  CHECK(syncline_version_vector_length(covered) == 1);
  syncline_iterator *it = NULL;
  OK(syncline_snapshot_iterate(snapshot, &it));
  bool found = false;
  while (syncline_iterator_next(it) == SYNCLINE_OK) {
    if (same(syncline_iterator_key(it), "t")) found = syncline_iterator_bytes(it).len > 0;
  }
  CHECK(found);
  syncline_iterator_free(it);
  OK(syncline_snapshot_merge(older, snapshot, &merged));
  syncline_version_vector *both = NULL;
  OK(syncline_snapshot_version_vector(merged, &both));
  CHECK(syncline_version_vector_equals(both, covered));

  syncline_snapshot *bad[2] = {NULL, (syncline_snapshot *)alice}, *out = NULL;
  syncline_version_vector *vector = NULL;
  syncline_buffer none = {0};
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_snapshot_encode(bad[i], &none));
    CHECK(syncline_snapshot_id(bad[i]).len == 0);
    INVALID(syncline_snapshot_version_vector(bad[i], &vector));
    INVALID(syncline_snapshot_iterate(bad[i], &it));
    INVALID(syncline_snapshot_merge(bad[i], snapshot, &out));
    INVALID(syncline_snapshot_merge(snapshot, bad[i], &out));
    INVALID(syncline_document_import_snapshot(bob, bad[i], 0));
    CHECK(!syncline_document_should_apply_snapshot(bob, bad[i]));
    syncline_snapshot_free(bad[i]);
  }
  INVALID(syncline_document_import(bob, bad[1], no_bytes(), 0, NULL));
  INVALID(syncline_snapshot_decode(bad_bytes(), &out));
  INVALID(syncline_snapshot_decode(no_bytes(), NULL));
  INVALID(syncline_snapshot_encode(snapshot, NULL));
  INVALID(syncline_snapshot_version_vector(snapshot, NULL));
  INVALID(syncline_snapshot_iterate(snapshot, NULL));
  INVALID(syncline_snapshot_merge(snapshot, snapshot, NULL));
  INVALID(syncline_document_take_snapshot(bob, SYNCLINE_SNAPSHOT_MERGE, &out)); /* means nothing here */
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_document_merge_snapshot(bob, bad[i], 0));
    INVALID(syncline_document_merge_snapshot(i ? (syncline_document *)snapshot : NULL, snapshot, 0));
  }
  INVALID(syncline_document_merge_snapshot(bob, snapshot, 4));
  INVALID(syncline_document_take_snapshot(bob, 4, &out));
  INVALID(syncline_document_import_snapshot(bob, snapshot, 128));
  INVALID(syncline_document_last_snapshot(bob, NULL));
  CHECK(out == NULL);

  syncline_buffer_free(&bytes);
  syncline_buffer_free(&changes);
  syncline_snapshot_free(snapshot);
  syncline_snapshot_free(older);
  syncline_snapshot_free(last);
  syncline_snapshot_free(merged);
  syncline_version_vector_free(seen);
  syncline_version_vector_free(covered);
  syncline_version_vector_free(both);
  syncline_text_free(a);
  syncline_text_free(b);
  syncline_text_free(c);
  syncline_document_free(alice);
  syncline_document_free(bob);
  syncline_document_free(carol);
}

static void bad_arguments(void) {
  syncline_document *good = new_document();
  syncline_queue *queue = new_queue();
  syncline_document *bad[2] = {NULL, (syncline_document *)queue};
  syncline_version_vector *vector = NULL, *seen = NULL;
  OK(syncline_version_vector_new(&seen));
  syncline_operation_id id;
  memset(&id, 0, sizeof id);
  size_t count = 0;
  syncline_buffer out = {0};
  syncline_iterator *it = NULL;
  syncline_change *change = NULL, *made = NULL;
  OK(syncline_change_new(&id, NULL, 0, no_bytes(), &change));
  syncline_snapshot *snapshot = NULL;
  for (int i = 0; i < 2; i++) {
    INVALID(syncline_document_version_vector(bad[i], &vector));
    INVALID(syncline_document_frontiers(bad[i], &id, 1, &count));
    INVALID(syncline_document_export_changes(bad[i], NULL, &out));
    INVALID(syncline_document_export_changes_from(bad[i], NULL, 0, &out));
    INVALID(syncline_document_import_changes(bad[i], no_bytes(), NULL));
    INVALID(syncline_document_iterate_changes(bad[i], NULL, &it));
    INVALID(syncline_document_apply_change(bad[i], change));
    INVALID(syncline_document_create_change(bad[i], no_bytes(), &made));
    CHECK(syncline_document_change_count(bad[i]) == 0);
    INVALID(syncline_document_take_snapshot(bad[i], 0, &snapshot));
    INVALID(syncline_document_last_snapshot(bad[i], &snapshot));
    CHECK(!syncline_document_should_apply_snapshot(bad[i], NULL));
    INVALID(syncline_document_import_snapshot(bad[i], NULL, 0));
    INVALID(syncline_document_import(bad[i], NULL, no_bytes(), 0, NULL));
    INVALID(syncline_document_prune(bad[i], seen));
  }
  INVALID(syncline_document_version_vector(good, NULL));
  INVALID(syncline_document_frontiers(good, NULL, 1, &count));
  INVALID(syncline_document_frontiers(good, &id, 1, NULL));
  INVALID(syncline_document_export_changes(good, NULL, NULL));
  INVALID(syncline_document_export_changes(good, (syncline_version_vector *)queue, &out));
  INVALID(syncline_document_export_changes_from(good, NULL, 1, &out));
  INVALID(syncline_document_export_changes_from(good, NULL, 0, NULL));
  INVALID(syncline_document_import_changes(good, bad_bytes(), NULL));
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_document_import_changes(good, no_bytes(), NULL));
  INVALID(syncline_document_iterate_changes(good, NULL, NULL));
  INVALID(syncline_document_iterate_changes(good, (syncline_version_vector *)queue, &it));
  INVALID(syncline_document_apply_change(good, NULL));
  INVALID(syncline_document_apply_change(good, (syncline_change *)queue));
  INVALID(syncline_document_create_change(good, bad_bytes(), &made));
  INVALID(syncline_document_create_change(good, no_bytes(), NULL));
  INVALID(syncline_document_prune(good, NULL));
  CHECK(!vector && !out.data && !it && !made && !snapshot);
  syncline_change_free(change);
  syncline_version_vector_free(seen);
  syncline_queue_free(queue);
  syncline_document_free(good);
}

int main(void) {
  two_replicas();
  snapshots();
  bad_arguments();
  return finish("exchange");
}
