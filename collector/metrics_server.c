/* SPDX-License-Identifier: Apache-2.0
 *
 * The least HTTP that a scraper and a browser need: one request, one answer, connection closed. One client at a time,
 * each with a few seconds, so none can hold anything but the next client. Nothing of the request is kept or echoed.
 *
 * Reference: RFC 9112.
 */
#include "address.h"
#include "metrics.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 4096
#define CLIENT_SECONDS 3
#define RETRY_US (10 * G_TIME_SPAN_MILLISECOND)

struct OwdMetricsServer {
  int listen_fd, stop_fd;
  char *address;
  OwdMetricsFunc func;
  void *user;
  GThread *thread;
};

static void
send_all (int fd, const char *p, gsize n)
{
  while (n > 0) {
    gssize sent = send (fd, p, n, MSG_NOSIGNAL);

    if (sent < 0 && errno == EINTR)
      continue;
    if (sent <= 0)
      return;
    p += sent;
    n -= (gsize) sent;
  }
}

static void
answer (int fd, const char *status, const char *type, const GString *body)
{
  g_autofree char *head = g_strdup_printf ("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %" G_GSIZE_FORMAT
                                           "\r\nConnection: close\r\n\r\n",
                                           status, type, body->len);

  send_all (fd, head, strlen (head));
  send_all (fd, body->str, body->len);
}

/* Reads until the end of the head, the limit or the time is over. Returns: (transfer full), or NULL. */
static char *
read_request (int fd)
{
  g_autofree char *request = g_malloc (REQUEST_MAX + 1);
  gint64 until_us = g_get_monotonic_time () + CLIENT_SECONDS * G_TIME_SPAN_SECOND;
  gsize n = 0;

  while (n < REQUEST_MAX && g_get_monotonic_time () < until_us) {
    gssize got = recv (fd, request + n, REQUEST_MAX - n, 0);

    if (got <= 0)
      return NULL;
    n += (gsize) got;
    request[n] = '\0';
    if (strstr (request, "\r\n\r\n") != NULL)
      return g_steal_pointer (&request);
  }
  return NULL;
}

static void
serve (OwdMetricsServer *self, int fd)
{
  const struct timeval timeout = { .tv_sec = CLIENT_SECONDS };
  g_autofree char *request = NULL;
  g_autoptr (GString) body = g_string_new (NULL);

  (void) setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  (void) setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  request = read_request (fd);
  if (request == NULL)
    return;
  if (g_str_has_prefix (request, "GET /metrics ")) {
    self->func (self->user, FALSE, body);
    answer (fd, "200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", body);
  } else if (g_str_has_prefix (request, "GET / ")) {
    self->func (self->user, TRUE, body);
    answer (fd, "200 OK", "text/plain; charset=utf-8", body);
  } else {
    g_string_assign (body, "There is / and /metrics, to GET.\n");
    answer (fd, g_str_has_prefix (request, "GET ") ? "404 Not Found" : "405 Method Not Allowed", "text/plain", body);
  }
}

static gpointer
run_server (gpointer data)
{
  OwdMetricsServer *self = data;

  for (;;) {
    struct pollfd polls[] = { { .fd = self->listen_fd, .events = POLLIN }, { .fd = self->stop_fd, .events = POLLIN } };
    int fd;

    if (poll (polls, G_N_ELEMENTS (polls), -1) < 0 && errno != EINTR)
      return NULL;
    if (polls[1].revents != 0)
      return NULL;
    fd = accept4 (self->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
      g_usleep (RETRY_US); /* the client went away again, or no file descriptor is free */
      continue;
    }
    serve (self, fd);
    close (fd);
  }
}

static gboolean
listen_on (OwdMetricsServer *self, const char *text, GError **error)
{
  OwdSocketAddress address;
  int on = 1;

  if (!owd_socket_address_parse (text, &address, error))
    return FALSE;
  self->listen_fd = socket (address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (self->listen_fd >= 0) {
    (void) setsockopt (self->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind (self->listen_fd, &address.any, owd_socket_address_len (&address)) == 0
        && listen (self->listen_fd, 8) == 0)
      return TRUE;
  }
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot listen on TCP %s: %s", text, g_strerror (errno));
  return FALSE;
}

OwdMetricsServer *
owd_metrics_server_new (const char *address, OwdMetricsFunc func, void *user, GError **error)
{
  OwdMetricsServer *self = g_new0 (OwdMetricsServer, 1);

  self->func = func;
  self->user = user;
  self->stop_fd = eventfd (0, EFD_CLOEXEC);
  self->listen_fd = -1;
  if (!listen_on (self, address, error)) {
    owd_metrics_server_free (self);
    return NULL;
  }
  self->address = owd_socket_address_bound (self->listen_fd);
  self->thread = g_thread_new ("metrics", run_server, self);
  return self;
}

const char *
owd_metrics_server_address (const OwdMetricsServer *self)
{
  return self->address;
}

void
owd_metrics_server_free (OwdMetricsServer *self)
{
  guint64 one = 1;

  if (self == NULL)
    return;
  if (self->thread != NULL) {
    (void) !write (self->stop_fd, &one, sizeof one);
    g_thread_join (self->thread);
  }
  if (self->listen_fd >= 0)
    close (self->listen_fd);
  close (self->stop_fd);
  g_free (self->address);
  g_free (self);
}
