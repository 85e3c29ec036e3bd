/* A server: documents in a SQLite file (or in memory), served until SIGTERM.
 * serve [PORT [STORE]] */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <syncline.h>

int main(int argc, char **argv) {
  uint16_t port = argc > 1 ? (uint16_t)atoi(argv[1]) : 0;
  syncline_store *store = NULL;
  syncline_server *server = NULL;
  sigset_t signals;
  int received;
  sigemptyset(&signals), sigaddset(&signals, SIGTERM), sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  syncline_status status = argc > 2 ? syncline_store_open(syncline_str(argv[2]), NULL, &store) : SYNCLINE_OK;
  if (status >= 0) status = syncline_server_new(SYNCLINE_OPTIONS(syncline_server_options, .port = port, .store = store), &server);
  if (status >= 0) status = syncline_server_start(server);
  if (status < 0) return fprintf(stderr, "serve: %s\n", syncline_error_last()->message), 1;
  printf("ws://127.0.0.1:%u\n", syncline_server_port(server)), fflush(stdout);
  sigwait(&signals, &received);
  status = syncline_server_stop(server, 10000);
  syncline_server_free(server);
  syncline_store_free(store);
  return status < 0;
}
