// The least that any server does for a message: waits, reads it, writes it back. bench/floor.ts compiles it, where there is
// a compiler, and compares with it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  static char bytes[65536];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int one = 1;
  int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(server, (struct sockaddr *)&address, size) < 0 || listen(server, 4096) < 0) return 1;
  getsockname(server, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  int poll = epoll_create1(0);
  struct epoll_event wanted = {.events = EPOLLIN, .data.fd = server}, found[1024];
  epoll_ctl(poll, EPOLL_CTL_ADD, server, &wanted);
  for (;;) {
    int count = epoll_wait(poll, found, 1024, -1);
    for (int at = 0; at < count; at++) {
      int stream = found[at].data.fd;
      if (stream == server) {
        int accepted = accept4(server, NULL, NULL, SOCK_NONBLOCK);
        if (accepted < 0) continue;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        wanted.data.fd = accepted;
        epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &wanted);
        continue;
      }
      ssize_t length = read(stream, bytes, sizeof bytes);
      if (length <= 0 || write(stream, bytes, length) < 0) close(stream);
    }
  }
}
