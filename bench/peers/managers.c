// Managers with nothing to do: each says now and then that it is alive, and reads what is answered. They do as little as they can,
// for managers run elsewhere: nothing of theirs is to be in the caches of an interchange, neither in its way nor of use to it, as
// the program text that it would share with managers in Node.js. A server that writes back what it reads will do for an interchange.
// bench/around.ts compiles and feeds it.
//
// On standard input come numbers (32 bits, little endian) and bytes with their length before them: the port of the interchange;
// milliseconds between two heartbeats; a heartbeat; how many managers; for each of them what it says in its handshake, and when that
// is over. It prints a line when all have said so, and another when each has been answered a heartbeat; it ends with its input.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { greeting = 64, room = 16 << 10, most_at_once = 100 };

struct bytes { unsigned char *at; uint32_t length; };

struct manager {
  int stream, is_ready, has_beaten, is_answered;
  size_t greeted; // bytes of the greeting of the interchange
  struct bytes then; // what it says when the handshake is over
};

static int poll;
static uint32_t ready, answered;

static void fail(const char *what) {
  fprintf(stderr, "managers: %s\n", what);
  exit(1);
}

static void say(const char *what) {
  puts(what);
  fflush(stdout);
}

static uint32_t number(void) {
  uint32_t value;
  if (fread(&value, 4, 1, stdin) != 1) exit(0);
  return value;
}

static struct bytes given(void) {
  struct bytes it = {.length = number()};
  it.at = malloc(it.length);
  if (fread(it.at, it.length, 1, stdin) != 1) fail("its input is cut short");
  return it;
}

static void take(struct manager *manager) {
  unsigned char bytes[room];
  ssize_t length = read(manager->stream, bytes, room);
  if (length <= 0) fail("the interchange has left a manager");
  if (manager->is_ready) {
    if (manager->has_beaten && !manager->is_answered) {
      manager->is_answered = 1;
      answered++;
    }
    return;
  }
  // Behind the greeting comes READY, of which nothing is wanted but that it came.
  manager->greeted += length;
  if (manager->greeted <= greeting) return;
  if (write(manager->stream, manager->then.at, manager->then.length) != manager->then.length) fail("no registration");
  free(manager->then.at);
  manager->is_ready = 1;
  ready++;
}

static void step(int milliseconds) {
  struct epoll_event found[64];
  int got = epoll_wait(poll, found, 64, milliseconds);
  for (int at = 0; at < got; at++) {
    // The input is over.
    if (found[at].data.ptr == NULL) exit(0);
    take(found[at].data.ptr);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

int main(void) {
  int one = 1;
  poll = epoll_create1(0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(number())};
  double interval = number();
  struct bytes heartbeat = given();
  uint32_t count = number();
  struct manager *managers = calloc(count, sizeof *managers);
  for (uint32_t at = 0; at < count; at++) {
    struct manager *manager = managers + at;
    struct bytes first = given();
    manager->then = given();
    manager->stream = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(manager->stream, (struct sockaddr *)&address, sizeof address) < 0) fail("no interchange");
    setsockopt(manager->stream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (write(manager->stream, first.at, first.length) != first.length) fail("no greeting");
    free(first.at);
    fcntl(manager->stream, F_SETFL, O_NONBLOCK);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = manager};
    epoll_ctl(poll, EPOLL_CTL_ADD, manager->stream, &wanted);
    while (at + 1 - ready >= most_at_once) step(-1);
  }
  while (ready < count) step(-1);
  say("registered");
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poll, EPOLL_CTL_ADD, 0, &input);
  int has_all = 0;
  double begin = now(), due = begin;
  for (uint64_t sent = 0;; due = begin + sent * interval / count) {
    double wait = due - now();
    step(wait > 0 ? (int)wait + 1 : 0);
    if (answered == count && !has_all) {
      has_all = 1;
      say("answered");
    }
    // Heartbeats are spread over the time between two of them.
    for (; begin + sent * interval / count <= now(); sent++) {
      struct manager *manager = managers + sent % count;
      if (write(manager->stream, heartbeat.at, heartbeat.length) != heartbeat.length) fail("no heartbeat");
      manager->has_beaten = 1;
    }
  }
}
