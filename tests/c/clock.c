#include "check.h"

int main(void) {
  syncline_peer_id a, b;
  syncline_buffer text = {0};
  OK(syncline_peer_id_new(&a));
  OK(syncline_peer_id_new(&b));
  CHECK(memcmp(&a, &b, sizeof a) != 0);
  CHECK((a.bytes[6] & 0xf0) == 0x40);
  OK(syncline_peer_id_format(&a, &text));
  CHECK(text.len == 36);
  OK(syncline_peer_id_parse(syncline_buffer_string(&text), &b));
  CHECK(memcmp(&a, &b, sizeof a) == 0 && syncline_peer_id_compare(&a, &b) == 0);
  syncline_buffer_free(&text);
  b.bytes[0] = (uint8_t)(a.bytes[0] ^ 0x80);
  CHECK((syncline_peer_id_compare(&a, &b) < 0) == (a.bytes[0] < b.bytes[0]));
  CHECK(syncline_peer_id_compare(NULL, &b) == 0 && syncline_peer_id_compare(&a, NULL) == 0);
  INVALID(syncline_peer_id_new(NULL));
  INVALID(syncline_peer_id_parse(S("x"), NULL));
  INVALID(syncline_peer_id_parse(bad_utf8(), &b));
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_peer_id_parse(S("not a uuid"), &b));
  INVALID(syncline_peer_id_format(NULL, &text));
  INVALID(syncline_peer_id_format(&a, NULL));

  syncline_hlc clock = syncline_hlc_pack(1700000000000, 7);
  CHECK(syncline_hlc_time_ms(clock) == 1700000000000 && syncline_hlc_counter(clock) == 7);
  CHECK(syncline_hlc_time_ms(syncline_hlc_now()) > 1700000000000);
  CHECK(syncline_hlc_compare(clock, clock) == 0);
  CHECK(syncline_hlc_compare(clock, clock + 1) < 0 && syncline_hlc_compare(clock + 1, clock) > 0);
  syncline_hlc after = 0;
  OK(syncline_hlc_local_event(clock, 1700000000000, &after));
  CHECK(after == clock + 1);
  OK(syncline_hlc_local_event(clock, 1700000000001, &after));
  CHECK(after == syncline_hlc_pack(1700000000001, 0));
  OK(syncline_hlc_receive_event(clock, 0, syncline_hlc_pack(1700000000500, 3), -1, &after));
  CHECK(after == syncline_hlc_pack(1700000000500, 4));
  OK(syncline_hlc_receive_event(clock, 1700000000000, syncline_hlc_pack(1700000000500, 3), 500, &after));
  after = 5;
  EXPECT(SYNCLINE_ERROR_CLOCK_DRIFT, syncline_hlc_receive_event(clock, 1700000000000, syncline_hlc_pack(1700000000500, 3), 499, &after));
  CHECK(after == 5);
  INVALID(syncline_hlc_local_event(clock, 0, NULL));
  INVALID(syncline_hlc_receive_event(clock, 0, 0, 0, NULL));
  OK(syncline_hlc_format(clock, &text));
  OK(syncline_hlc_parse(syncline_buffer_string(&text), &after));
  CHECK(after == clock && take_equals(&text, "1700000000000.7"));
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_hlc_parse(S("1.2.3"), &after));
  INVALID(syncline_hlc_parse(bad_length(), &after));
  INVALID(syncline_hlc_parse(S("1.0"), NULL));
  INVALID(syncline_hlc_format(clock, NULL));

  syncline_operation_id id = {a, {0}}, read;
  for (int i = 0; i < 8; i++) id.clock[i] = (uint8_t)(clock >> (56 - 8 * i));
  CHECK(syncline_operation_id_clock(&id) == clock && syncline_operation_id_clock(NULL) == 0);
  CHECK(sizeof id == 24);
  OK(syncline_operation_id_decode(B(&id, 24), &read));
  CHECK(memcmp(&id, &read, 24) == 0);
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_operation_id_decode(B(&id, 23), &read));
  INVALID(syncline_operation_id_decode(B(&id, 24), NULL));
  INVALID(syncline_operation_id_decode(bad_bytes(), &read));
  OK(syncline_operation_id_format(&id, &text));
  OK(syncline_operation_id_parse(syncline_buffer_string(&text), &read));
  CHECK(memcmp(&id, &read, 24) == 0 && syncline_operation_id_compare(&id, &read) == 0);
  syncline_buffer_free(&text);
  read.clock[7]++;
  read.peer.bytes[0] = 0;
  CHECK(syncline_operation_id_compare(&id, &read) < 0); /* the clock first */
  CHECK(syncline_operation_id_compare(NULL, &read) == 0);
  EXPECT(SYNCLINE_ERROR_MALFORMED, syncline_operation_id_parse(S("x@y"), &read));
  INVALID(syncline_operation_id_parse(bad_utf8(), &read));
  INVALID(syncline_operation_id_parse(S("x"), NULL));
  INVALID(syncline_operation_id_format(NULL, &text));
  INVALID(syncline_operation_id_format(&id, NULL));
  return finish("clock");
}
