// What stands around an interchange: a submitter, and pools that answer every task at once. It never sleeps and does as little
// as it can, so a bench measures the interchange and not this. bench/around.ts compiles and feeds it.
//
// It prints the two ports of its submitter, tasks and results. On standard input come numbers (32 bits, little endian) and bytes:
// the port of the interchange; what the submitter says in its handshake; a task; a result; how many pools; for each of them what it
// says in its handshake, and when that is over;
// then again and again how many tasks to send, of which it prints a line when all results are there. Bytes have their length before
// them, tasks and results then the place of the task id in them (4 bytes).
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
#include <unistd.h>

enum { room = 1 << 20, greeting = 64, wave = 5000 };

struct bytes { unsigned char *at; uint32_t length, id_at; };

struct link {
  int stream, is_pool, is_greeted, is_ready;
  struct bytes then; // what it says when the handshake is over
  size_t have; // bytes of what came that are not used yet
  unsigned char bytes[room];
};

static struct bytes task, result;
static unsigned char answers[room];
static size_t received;

static void fail(const char *what) {
  fprintf(stderr, "around: %s\n", what);
  exit(1);
}

static uint32_t number(void) {
  uint32_t value;
  if (fread(&value, 4, 1, stdin) != 1) exit(0);
  return value;
}

static struct bytes given(int has_id) {
  struct bytes it = {.length = number()};
  if (has_id) it.id_at = number();
  it.at = malloc(it.length);
  if (fread(it.at, it.length, 1, stdin) != 1) fail("its input is cut short");
  return it;
}

static struct link *opened(int poll, int stream, int is_pool, struct bytes first) {
  int one = 1;
  struct link *link = calloc(1, sizeof *link);
  link->stream = stream;
  link->is_pool = is_pool;
  setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (write(stream, first.at, first.length) != first.length) fail("no greeting");
  fcntl(stream, F_SETFL, O_NONBLOCK);
  struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = link};
  epoll_ctl(poll, EPOLL_CTL_ADD, stream, &wanted);
  return link;
}

// The ids of all tasks in a message, which is a pickled list of dicts; a result for each goes to `answers`.
static size_t answer(const unsigned char *at, const unsigned char *end, size_t length) {
  while ((at = memmem(at, end - at, "task_id", 7)) != NULL) {
    at += 7;
    if (at < end && *at == 0x94) at++;
    uint32_t id = 0;
    size_t width = *at == 'K' ? 1 : *at == 'M' ? 2 : *at == 'J' ? 4 : 0;
    if (width == 0 || at + 1 + width > end || length + result.length > room) fail("a task without an id");
    memcpy(&id, at + 1, width);
    memcpy(answers + length, result.at, result.length);
    memcpy(answers + length + result.id_at, &id, 4);
    length += result.length;
    at += 1 + width;
  }
  return length;
}

static void take(struct link *link) {
  ssize_t length = read(link->stream, link->bytes + link->have, room - link->have);
  if (length <= 0) fail(link->is_pool ? "the interchange has left a pool" : "the interchange has left its submitter");
  link->have += length;
  size_t at = 0, answered = 0;
  if (!link->is_greeted) {
    if (link->have < greeting) return;
    at = greeting;
    link->is_greeted = 1;
  }
  for (;;) {
    const unsigned char *head = link->bytes + at;
    size_t left = link->have - at, size = 2, body;
    if (left < 2) break;
    if (head[0] & 2) {
      if (left < 9) break;
      size = 9;
      body = 0;
      for (int digit = 1; digit < 9; digit++) body = body << 8 | head[digit];
    } else body = head[1];
    if (size + body > room) fail("a frame that is too large");
    if (left < size + body) break;
    if (head[0] & 4) {
      // The first command is READY. libzmq takes nothing before it has said so itself.
      if (write(link->stream, link->then.at, link->then.length) != link->then.length) fail("no registration");
      link->then.length = 0;
      link->is_ready = 1;
    } else {
      if (link->is_pool) answered = answer(head + size, head + size + body, answered);
      else received++;
    }
    at += size + body;
  }
  link->have -= at;
  memmove(link->bytes, link->bytes + at, link->have);
  if (answered > 0 && write(link->stream, answers, answered) != (ssize_t)answered) fail("a pool that cannot answer");
}

static int listening(struct sockaddr_in *address) {
  socklen_t size = sizeof *address;
  int server = socket(AF_INET, SOCK_STREAM, 0);
  address->sin_port = 0;
  if (bind(server, (struct sockaddr *)address, size) < 0 || listen(server, 1) < 0) fail("it cannot listen");
  getsockname(server, (struct sockaddr *)address, &size);
  return server;
}

static void step(int poll) {
  static struct epoll_event found[1024];
  int ready = epoll_wait(poll, found, 1024, 0);
  for (int at = 0; at < ready; at++) take(found[at].data.ptr);
}

int main(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int poll = epoll_create1(0), tasks = listening(&address), ports[2] = {ntohs(address.sin_port)};
  int results = listening(&address);
  ports[1] = ntohs(address.sin_port);
  printf("%d %d\n", ports[0], ports[1]);
  fflush(stdout);
  address.sin_port = htons(number());
  struct bytes first = given(0);
  struct link *tasks_link = opened(poll, accept(tasks, NULL, NULL), 0, first);
  opened(poll, accept(results, NULL, NULL), 0, first);
  task = given(1);
  result = given(1);
  for (uint32_t left = number(); left > 0; left--) {
    int stream = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(stream, (struct sockaddr *)&address, sizeof address) < 0) fail("no interchange");
    struct link *link = opened(poll, stream, 1, given(0));
    link->then = given(0);
  }
  unsigned char *many = malloc((size_t)task.length * wave);
  size_t sent = 0;
  for (;;) {
    // In waves, as a submitter that is itself busy sends them.
    for (size_t end = sent + number(); sent < end;) {
      size_t count = end - sent < wave ? end - sent : wave, length = count * task.length, gone = 0;
      for (size_t at = 0; at < count; at++) {
        uint32_t id = sent + at;
        memcpy(many + at * task.length, task.at, task.length);
        memcpy(many + at * task.length + task.id_at, &id, 4);
      }
      sent += count;
      while (received < sent) {
        if (gone < length && tasks_link->is_ready) {
          ssize_t taken = write(tasks_link->stream, many + gone, length - gone);
          if (taken > 0) gone += taken;
        }
        step(poll);
      }
    }
    printf("%zu\n", received);
    fflush(stdout);
  }
}
