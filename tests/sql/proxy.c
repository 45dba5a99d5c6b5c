/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread, one client at a time: a store has one connection.
 */
#include "proxy.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "/.s.PGSQL.5432"

struct Proxy {
  char *server_path;
  char *dir;
  char *path;
  int listen_fd;
  int stop[2]; /* pipe: a byte ends the thread */
  GThread *thread;
  gint mode;  /* ProxyMode, atomic */
  gint bytes; /* atomic */
  gint cuts;  /* atomic */
};

static int
unix_socket (const char *path, struct sockaddr_un *ret_addr)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  *ret_addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
  if (g_strlcpy (ret_addr->sun_path, path, sizeof ret_addr->sun_path) >= sizeof ret_addr->sun_path)
    g_error ("%s: too long for a socket", path);
  if (fd < 0)
    g_error ("socket: %s", g_strerror (errno));
  return fd;
}

static gboolean
send_all (int fd, const char *data, gsize len)
{
  while (len > 0) {
    ssize_t sent = send (fd, data, len, MSG_NOSIGNAL);

    if (sent <= 0)
      return FALSE;
    data += sent;
    len -= (gsize) sent;
  }
  return TRUE;
}

/* How much of a client's chunk may pass; sets *ret_cut where the wire is to be cut behind it. */
static gsize
may_pass (Proxy *self, const char *data, gsize len, gboolean *ret_cut, gboolean *ret_await_answer)
{
  ProxyMode mode = (ProxyMode) g_atomic_int_get (&self->mode);

  if (mode == PROXY_CUT_BYTES) {
    gsize left = (gsize) g_atomic_int_get (&self->bytes);

    *ret_cut = len >= left;
    g_atomic_int_set (&self->bytes, (gint) (left - MIN (left, len)));
    return MIN (left, len);
  }
  if (mode >= PROXY_CUT_COMMIT && memmem (data, len, "COMMIT", 6) != NULL) {
    *ret_cut = TRUE;
    *ret_await_answer = mode == PROXY_CUT_COMMITTED;
    return mode == PROXY_CUT_COMMIT ? 0 : len;
  }
  return len;
}

/* FALSE: this connection has ended. */
static gboolean
from_client (Proxy *self, int client, int server)
{
  char data[16384];
  ssize_t got = recv (client, data, sizeof data, 0);
  gboolean cut = FALSE, await_answer = FALSE;
  gsize pass;

  if (got <= 0)
    return FALSE;
  pass = may_pass (self, data, (gsize) got, &cut, &await_answer);
  if (!send_all (server, data, pass))
    return FALSE;
  if (!cut)
    return TRUE;
  if (await_answer)
    (void) !recv (server, data, sizeof data, 0);
  g_atomic_int_set (&self->mode, PROXY_WHOLE);
  g_atomic_int_inc (&self->cuts);
  return FALSE;
}

static gboolean
from_server (int client, int server)
{
  char data[16384];
  ssize_t got = recv (server, data, sizeof data, 0);

  return got > 0 && send_all (client, data, (gsize) got);
}

/* FALSE: the proxy is to end. */
static gboolean
serve (Proxy *self, int client)
{
  struct sockaddr_un addr;
  int server = unix_socket (self->server_path, &addr);
  struct pollfd fds[] = { { .fd = client, .events = POLLIN },
                          { .fd = server, .events = POLLIN },
                          { .fd = self->stop[0], .events = POLLIN } };
  gboolean go_on = connect (server, (struct sockaddr *) &addr, sizeof addr) == 0;

  while (go_on && poll (fds, G_N_ELEMENTS (fds), -1) >= 0 && fds[2].revents == 0) {
    if (fds[0].revents != 0)
      go_on = from_client (self, client, server);
    if (go_on && fds[1].revents != 0)
      go_on = from_server (client, server);
  }
  close (client);
  close (server);
  return fds[2].revents == 0;
}

static gpointer
run (gpointer data)
{
  Proxy *self = data;
  gboolean go_on = TRUE;

  while (go_on) {
    struct pollfd fds[] = { { .fd = self->listen_fd, .events = POLLIN }, { .fd = self->stop[0], .events = POLLIN } };
    int client;

    if (poll (fds, G_N_ELEMENTS (fds), -1) < 0 || fds[1].revents != 0)
      break;
    client = accept (self->listen_fd, NULL, NULL);
    if (client >= 0)
      go_on = serve (self, client);
  }
  return NULL;
}

Proxy *
proxy_new (const char *server_dir)
{
  Proxy *self = g_new0 (Proxy, 1);
  struct sockaddr_un addr;

  self->server_path = g_strconcat (server_dir, SOCKET_NAME, NULL);
  self->dir = g_dir_make_tmp ("owd-proxy.XXXXXX", NULL);
  g_assert (self->dir != NULL);
  self->path = g_strconcat (self->dir, SOCKET_NAME, NULL);
  self->listen_fd = unix_socket (self->path, &addr);
  if (bind (self->listen_fd, (struct sockaddr *) &addr, sizeof addr) != 0 || listen (self->listen_fd, 8) != 0
      || pipe (self->stop) != 0)
    g_error ("%s: %s", self->path, g_strerror (errno));
  self->thread = g_thread_new ("proxy", run, self);
  return self;
}

const char *
proxy_dir (const Proxy *self)
{
  return self->dir;
}

void
proxy_arm (Proxy *self, ProxyMode mode, gint bytes)
{
  g_atomic_int_set (&self->bytes, bytes);
  g_atomic_int_set (&self->mode, mode);
}

gint
proxy_cuts (Proxy *self)
{
  return g_atomic_int_get (&self->cuts);
}

void
proxy_free (Proxy *self)
{
  (void) !write (self->stop[1], "x", 1);
  g_thread_join (self->thread);
  close (self->stop[0]);
  close (self->stop[1]);
  close (self->listen_fd);
  g_unlink (self->path);
  g_rmdir (self->dir);
  g_free (self->server_path);
  g_free (self->path);
  g_free (self->dir);
  g_free (self);
}
