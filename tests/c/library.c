#include "check.h"

static atomic_int delivered;

static void on_event(void *user_data, const syncline_event *event) {
  (void)user_data;
  (void)event;
  /* The delivery thread cannot wait for its own end. */
  EXPECT(SYNCLINE_ERROR_IN_HOOK, syncline_library_shutdown(10));
  atomic_fetch_add(&delivered, 1);
}

int main(void) {
  uint32_t version = SYNCLINE_VERSION_MAJOR << 16 | SYNCLINE_VERSION_MINOR << 8 | SYNCLINE_VERSION_PATCH;
  CHECK(syncline_library_version() == version);
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", SYNCLINE_VERSION_MAJOR, SYNCLINE_VERSION_MINOR,
           SYNCLINE_VERSION_PATCH);
  CHECK(strcmp(syncline_library_version_string(), text) == 0);

  syncline_value *info = NULL;
  OK(syncline_value_from_json(S(syncline_library_build_info()), &info));
  CHECK(same(syncline_value_get(info, S("version"))->data.string, text));
  syncline_value_free(info);

  OK(syncline_library_check(SYNCLINE_ABI));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED_VERSION, syncline_library_check(SYNCLINE_ABI + 1));

  CHECK(syncline_library_has_feature(SYNCLINE_FEATURE_CLIENT));
  CHECK(syncline_library_has_feature(SYNCLINE_FEATURE_SERVER));
  CHECK(syncline_library_has_feature(SYNCLINE_FEATURE_STORE_SQLITE));
  CHECK(syncline_library_has_feature(SYNCLINE_FEATURE_GZIP));
  CHECK(!syncline_library_has_feature(SYNCLINE_FEATURE_YJS));
  CHECK(!syncline_library_has_feature(SYNCLINE_FEATURE_ENCRYPTION));
  CHECK(!syncline_library_has_feature(SYNCLINE_FEATURE_TLS));
  CHECK(!syncline_library_has_feature((syncline_feature)99));

  OK(syncline_library_configure(NULL));
  OK(syncline_library_configure(SYNCLINE_OPTIONS(syncline_library_options, .io_threads = 1)));
  OK(syncline_library_configure(
      SYNCLINE_OPTIONS(syncline_library_options, .thread_name = SYNCLINE_STR("syncline"))));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_library_configure(SYNCLINE_OPTIONS(
                                         syncline_library_options, .io_threads = 7)));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED, syncline_library_configure(SYNCLINE_OPTIONS(
                                         syncline_library_options, .idle_thread_timeout_ms = 1)));
  EXPECT(SYNCLINE_ERROR_UNSUPPORTED,
         syncline_library_configure(SYNCLINE_OPTIONS(syncline_library_options,
                                                     .thread_name = SYNCLINE_STR("mine"))));
  INVALID(syncline_library_configure(
      SYNCLINE_OPTIONS(syncline_library_options, .thread_name = bad_utf8())));
  syncline_library_options options;
  memset(&options, 0, sizeof options);
  INVALID(syncline_library_configure(&options)); /* size not set */
  options.struct_size = SIZE_MAX;
  INVALID(syncline_library_configure(&options));

  syncline_library_stats stats;
  memset(&stats, 0xff, sizeof stats);
  INVALID(syncline_library_get_stats(NULL));
  stats.struct_size = 0;
  INVALID(syncline_library_get_stats(&stats));
  stats.struct_size = sizeof stats;
  OK(syncline_library_get_stats(&stats));
  CHECK(stats.live_handles == 0 && stats.threads == 0);
  CHECK(stats.struct_size == sizeof stats);

  syncline_document *document = new_document();
  syncline_text *body = new_text(document, "body");
  syncline_text *again = syncline_text_retain(body);
  OK(syncline_library_get_stats(&stats));
  CHECK(stats.live_handles == 3);
  CHECK(stats.heap_bytes > 0);
  syncline_text_free(again);

  /* Shutting down delivers first, and the library starts again by itself. */
  syncline_subscription *subscription = NULL;
  OK(syncline_text_subscribe(body, SYNCLINE_OPTIONS(syncline_listener, .callback = on_event),
                             &subscription));
  for (int round = 1; round <= 3; round++) {
    OK(syncline_text_insert(body, 0, S("x")));
    OK(syncline_library_shutdown(PATIENCE_MS));
    CHECK(atomic_load(&delivered) == round);
    OK(syncline_library_get_stats(&stats));
    CHECK(stats.threads == 0);
  }
  syncline_subscription_free(subscription);
  syncline_text_free(body);
  syncline_document_free(document);
  return finish("library");
}
