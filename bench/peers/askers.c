// Peers of a server that writes back what it reads, with one message under way each. They never sleep, as those of around.c, so a
// bench measures the server and not them. bench/floor.ts compiles and feeds it.
//
//   askers PORT PEERS BYTES
// On standard input come numbers (32 bits, little endian): how many messages to send. When all are back it prints a line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "askers: %s\n", what);
  exit(1);
}

int main(int argc, char **argv) {
  enum { most = 1024 };
  static char bytes[65536];
  static size_t missing[most]; // bytes of an answer that are still to come
  static int streams[most];
  if (argc != 4) fail("PORT PEERS BYTES");
  size_t peers = atoi(argv[2]), length = atoi(argv[3]);
  if (peers < 1 || peers > most || length < 1 || length > sizeof bytes) fail("too many peers or bytes");
  struct sockaddr_in address = {
    .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1, poll = epoll_create1(0);
  for (size_t at = 0; at < peers; at++) {
    int stream = streams[at] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(stream, (struct sockaddr *)&address, sizeof address) < 0) fail("no server");
    setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(stream, F_SETFL, O_NONBLOCK);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = at};
    epoll_ctl(poll, EPOLL_CTL_ADD, stream, &wanted);
  }
  uint32_t count;
  while (fread(&count, 4, 1, stdin) == 1) {
    uint32_t sent = 0, answered = 0;
    for (size_t at = 0; at < peers && sent < count; at++, sent++) {
      missing[at] = length;
      if (write(streams[at], bytes, length) != (ssize_t)length) fail("a message that cannot be sent");
    }
    while (answered < count) {
      struct epoll_event found[most];
      int ready = epoll_wait(poll, found, most, 0);
      for (int event = 0; event < ready; event++) {
        uint32_t at = found[event].data.u32;
        ssize_t got = read(streams[at], bytes, length);
        if (got <= 0 || (size_t)got > missing[at]) fail("the server has left, or says too much");
        missing[at] -= got;
        if (missing[at] > 0) continue;
        answered++;
        if (sent == count) continue;
        sent++;
        missing[at] = length;
        if (write(streams[at], bytes, length) != (ssize_t)length) fail("a message that cannot be sent");
      }
    }
    printf("%u\n", answered);
    fflush(stdout);
  }
}
