/* Two replicas of a document are edited at the same time and merge. No network, no file.
 * cc quickstart.c $(pkg-config --cflags --libs syncline) -o quickstart */
#include <stdio.h>
#include <stdlib.h>
#include <syncline.h>

static void check(syncline_status status) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %s\n", syncline_status_name(status), syncline_error_last()->message);
  exit(1);
}

static void send_changes(syncline_document *from, syncline_document *to) {
  syncline_buffer changes = {0};
  check(syncline_document_export_changes(from, NULL, &changes));
  check(syncline_document_import_changes(to, syncline_buffer_bytes(&changes), NULL));
  syncline_buffer_free(&changes);
}

int main(void) {
  syncline_document *laptop = NULL, *phone = NULL;
  syncline_text *note = NULL, *same = NULL;
  syncline_buffer content = {0};
  check(syncline_document_new(NULL, &laptop)), check(syncline_document_new(NULL, &phone));
  check(syncline_document_get_text(laptop, SYNCLINE_STR("note"), NULL, &note));
  check(syncline_document_get_text(phone, SYNCLINE_STR("note"), NULL, &same));
  check(syncline_text_insert(note, 0, SYNCLINE_STR("buy milk")));
  send_changes(laptop, phone);
  check(syncline_text_insert(note, 0, SYNCLINE_STR("Please "))); /* both, without knowing of */
  check(syncline_text_insert(same, 8, SYNCLINE_STR(" and bread"))); /* each other */
  send_changes(phone, laptop);
  check(syncline_text_to_string(note, &content));
  printf("%s\n", (const char *)content.data); /* Please buy milk and bread */
  syncline_buffer_free(&content);
  syncline_text_free(note), syncline_text_free(same);
  syncline_document_free(laptop), syncline_document_free(phone);
}
