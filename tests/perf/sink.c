/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor under every collector: recvmmsg with kernel receive times, and nothing else. Counts until SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64
#define DATAGRAM_MAX 2048

static volatile sig_atomic_t stop;

static void
on_term (int number)
{
  (void) number;
  stop = 1;
}

static int
open_socket (guint16 port)
{
  struct sockaddr_in addr
      = { .sin_family = AF_INET, .sin_port = htons (port), .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  const int on = 1, bytes = 4 << 20;
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || bind (fd, (struct sockaddr *) &addr, sizeof addr) != 0
      || setsockopt (fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) != 0
      || setsockopt (fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) {
    g_printerr ("cannot listen on port %u: %s\n", port, g_strerror (errno));
    exit (1);
  }
  return fd;
}

int
main (int argc, char **argv)
{
  static guint8 data[BATCH][DATAGRAM_MAX], control[BATCH][64];
  static struct sockaddr_storage from[BATCH];
  static struct iovec iov[BATCH];
  static struct mmsghdr messages[BATCH];
  struct sigaction action = { .sa_handler = on_term };
  guint64 datagrams = 0, bytes = 0;
  int fd = open_socket ((guint16) (argc > 1 ? atoi (argv[1]) : 2055));

  sigaction (SIGTERM, &action, NULL);
  while (!stop) {
    int n;

    for (guint i = 0; i < BATCH; i++) {
      iov[i] = (struct iovec){ data[i], DATAGRAM_MAX };
      messages[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
                                             .msg_namelen = sizeof from[i],
                                             .msg_iov = &iov[i],
                                             .msg_iovlen = 1,
                                             .msg_control = control[i],
                                             .msg_controllen = sizeof control[i] };
    }
    n = recvmmsg (fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++)
      bytes += messages[i].msg_len;
    datagrams += n > 0 ? (guint64) n : 0;
  }
  printf ("%" G_GUINT64_FORMAT " datagrams %" G_GUINT64_FORMAT " bytes\n", datagrams, bytes);
  return 0;
}
