/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe reflect: sleeps until packets come, answers them in batches. All decisions are the engine's
 * (reflector.c); here are sockets, clocks and the giving up of rights.
 */
#include "keyring.h"
#include "net.h"
#include "owd-program.h"
#include "program.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  SOCKETS_MAX = 16,
  TURN_BATCHES = 8, /* then the next socket gets its turn */
  TX_RING = 4096,   /* answers whose departure stamps are under way */
  CLOCK_NS = 1000000000,
};

typedef struct {
  char **listen, **allow;
  char *key_file, *user;
  gboolean stateless, answer_short;
  gint rate, sessions;
} Options;

typedef struct {
  OwdProbeSocket *socket;
  guint16 port;
  char *text;
  OwdProbeAnswer departures[TX_RING]; /* by tx id */
} Listener;

typedef struct {
  OwdProbeReflectorConfig cfg;
  OwdProbeKeyring *keyring;
  GArray *allow; /* of OwdPrefix */
  OwdProbeReflector *reflector;
  Listener *listeners[SOCKETS_MAX];
  guint n_listeners;
  OwdProbeBatch *batch;
  OwdProbeAnswer answers[OWD_PROBE_BATCH];
  OwdProbeError clock_error;
  OwdTime clock_read;
  guint64 refused; /* answers that the system did not take */
  gboolean said_short;
  int signal_fd;
} Server;

typedef struct {
  Server *server;
  Listener *listener;
} Turn;

/* ---- the loop ---------------------------------------------------------------------------------- */

static void
read_clock_error (Server *self, OwdTime now)
{
  if (now - self->clock_read < CLOCK_NS && now >= self->clock_read)
    return;
  self->clock_error = owd_probe_clock_error ();
  self->clock_read = now;
}

/* What somebody who sets up a TWAMP-Light sender has to know; once. */
static void
say_short (Server *self, const OwdProbeDatagram *d)
{
  char text[OWD_ADDR_TEXT];

  self->said_short = TRUE;
  g_message ("%s asks with %zu bytes and gets no answer, which would be longer; let it send 41, or see --answer-short",
             owd_addr_text (&d->addr, text), d->len);
}

static void
answer (Server *self, const Listener *listener, guint i)
{
  const OwdProbeDatagram *d = owd_probe_batch_get (self->batch, i);
  OwdProbeQuestion q = { .data = d->data,
                         .len = d->len,
                         .src = d->addr,
                         .dst = d->local,
                         .sport = d->port,
                         .dport = listener->port,
                         .t2 = d->stamp,
                         .t2_soft = d->soft,
                         .ttl = d->ttl,
                         .tos = d->tos,
                         .t3 = owd_probe_clock_real (),
                         .error = self->clock_error };
  OwdProbeAnswer *a = &self->answers[i];
  OwdProbeVerdict verdict
      = owd_probe_reflector_answer (self->reflector, &q, owd_probe_batch_answer (self->batch, i), OWD_PROBE_MAX, a);

  if (verdict == OWD_PROBE_ANSWERED)
    owd_probe_batch_put (self->batch, i, a->len, a->tos, a->wants_stamp);
  else if (verdict == OWD_PROBE_DROP_SHORT && d->len >= 14 && self->cfg.n_keys == 0 && !self->said_short)
    say_short (self, d);
}

static void
on_sent (guint i, guint32 tx_id, gpointer user)
{
  Turn *turn = user;

  turn->listener->departures[tx_id % TX_RING] = turn->server->answers[i];
}

static void
serve (Server *self, Listener *listener)
{
  Turn turn = { .server = self, .listener = listener };
  OwdProbeEvent ev;
  guint n = OWD_PROBE_BATCH;

  for (guint round = 0; round < TURN_BATCHES && n == OWD_PROBE_BATCH; round++) {
    n = owd_probe_batch_receive (self->batch, listener->socket);
    read_clock_error (self, owd_probe_clock_real ());
    for (guint i = 0; i < n; i++)
      answer (self, listener, i);
    self->refused += owd_probe_batch_flush (self->batch, listener->socket, on_sent, &turn);
  }
  while (owd_probe_socket_next_event (listener->socket, &ev))
    if (ev.left)
      owd_probe_reflector_departed (self->reflector, &listener->departures[ev.tx_id % TX_RING], ev.stamp);
}

static void
say_counts (const Server *self)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint v = 0; v < OWD_PROBE_VERDICTS; v++) {
    guint64 n = owd_probe_reflector_count (self->reflector, v);

    if (n > 0 || v == OWD_PROBE_ANSWERED)
      g_string_append_printf (text, "%s%s %" G_GUINT64_FORMAT, v > 0 ? ", " : "", owd_probe_verdict_text (v), n);
  }
  if (self->refused > 0)
    g_string_append_printf (text, ", refused by the system %" G_GUINT64_FORMAT, self->refused);
  g_message ("%s", text->str);
}

/* Returns: FALSE to end. SIGHUP only asks for the counts. */
static gboolean
take_signal (Server *self)
{
  guint32 info[32]; /* a signalfd_siginfo, whose first word is the number */

  if (read (self->signal_fd, info, sizeof info) != sizeof info)
    return TRUE;
  say_counts (self);
  return info[0] == 1;
}

static void
run (Server *self)
{
  struct pollfd fds[SOCKETS_MAX + 1];

  for (guint i = 0; i < self->n_listeners; i++)
    fds[i] = (struct pollfd){ .fd = self->listeners[i]->socket->fd, .events = POLLIN };
  fds[self->n_listeners] = (struct pollfd){ .fd = self->signal_fd, .events = POLLIN };
  for (;;) {
    if (poll (fds, self->n_listeners + 1, -1) < 0)
      continue;
    for (guint i = 0; i < self->n_listeners; i++)
      if (fds[i].revents != 0)
        serve (self, self->listeners[i]);
    if (fds[self->n_listeners].revents != 0 && !take_signal (self))
      return;
  }
}

/* ---- set-up ------------------------------------------------------------------------------------ */

static gboolean
add_listener (Server *self, const char *text, int family, GError **error)
{
  OwdProbeEndpoint at;
  OwdAddr addr;
  Listener *listener;
  OwdProbeSocket *sock;

  if (self->n_listeners == SOCKETS_MAX) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--listen: at most %d times", SOCKETS_MAX);
    return FALSE;
  }
  if (!owd_probe_endpoint_resolve (text, OWD_PROBE_PORT, family, TRUE, &at, error))
    return FALSE;
  sock = owd_probe_socket_new (&at, 0, FALSE, error);
  if (sock == NULL)
    return FALSE;
  listener = g_new0 (Listener, 1);
  listener->socket = sock;
  owd_probe_endpoint_addr (&sock->bound, &addr, &listener->port);
  listener->text = owd_probe_endpoint_text (&sock->bound);
  self->listeners[self->n_listeners++] = listener;
  return TRUE;
}

static gboolean
add_listeners (Server *self, const Options *o, GError **error)
{
  g_autoptr (GError) six = NULL;

  for (gsize i = 0; o->listen != NULL && o->listen[i] != NULL; i++)
    if (!add_listener (self, o->listen[i], AF_UNSPEC, error))
      return FALSE;
  if (self->n_listeners > 0)
    return TRUE;
  if (!add_listener (self, "0.0.0.0", AF_INET, error))
    return FALSE;
  if (!add_listener (self, "[::]", AF_INET6, &six))
    g_message ("IPv4 only: %s", six->message);
  return TRUE;
}

static gboolean
add_allowed (Server *self, const Options *o, GError **error)
{
  OwdPrefix prefix;

  for (gsize i = 0; o->allow != NULL && o->allow[i] != NULL; i++) {
    if (!owd_prefix_parse (o->allow[i], &prefix)) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--allow %s: want ADDRESS or ADDRESS/BITS", o->allow[i]);
      return FALSE;
    }
    g_array_append_val (self->allow, prefix);
  }
  if (o->answer_short && self->allow->len == 0) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG,
                         "--answer-short sends more than it gets: only with --allow, to say who may ask for it");
    return FALSE;
  }
  return TRUE;
}

static gboolean
setup (Server *self, const Options *o, GError **error)
{
  if (o->rate < 0 || o->sessions < 1 || o->sessions > 1 << 20) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, "want --rate 0 or more, --sessions 1 to 1048576");
    return FALSE;
  }
  if (!add_allowed (self, o, error))
    return FALSE;
  if (o->key_file != NULL) {
    self->keyring = owd_probe_keyring_load (o->key_file, error);
    if (self->keyring == NULL)
      return FALSE;
    self->cfg.keys = (OwdProbeKey *const *) self->keyring->keys->pdata;
    self->cfg.n_keys = self->keyring->keys->len;
  }
  self->cfg.allow = (const OwdPrefix *) (gconstpointer) self->allow->data;
  self->cfg.n_allow = self->allow->len;
  self->cfg.stateless = o->stateless;
  self->cfg.answer_short = o->answer_short;
  self->cfg.sessions = self->cfg.sources = (guint) o->sessions;
  self->cfg.rate = (guint) o->rate;
  if (getrandom (&self->cfg.seed, sizeof self->cfg.seed, 0) < 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "no random numbers: %s", g_strerror (errno));
    return FALSE;
  }
  self->reflector = owd_probe_reflector_new (&self->cfg);
  /* sockets are bound and keys are read: nothing needs root from here on */
  return add_listeners (self, o, error) && owd_program_drop_rights (o->user != NULL ? o->user : "nobody", error);
}

static void
clear (Server *self)
{
  for (guint i = 0; i < self->n_listeners; i++) {
    owd_probe_socket_free (self->listeners[i]->socket);
    g_free (self->listeners[i]->text);
    g_free (self->listeners[i]);
  }
  owd_probe_reflector_free (self->reflector);
  owd_probe_keyring_free (self->keyring);
  g_array_unref (self->allow);
  owd_probe_batch_free (self->batch);
  if (self->signal_fd >= 0)
    close (self->signal_fd);
  g_free (self);
}

static int
reflect_with (const Options *o, GError **error)
{
  Server *self = g_new0 (Server, 1);
  int status = -1;

  self->allow = g_array_new (FALSE, FALSE, sizeof (OwdPrefix));
  self->batch = owd_probe_batch_new ();
  self->signal_fd = owd_program_signal_fd ();
  if (setup (self, o, error)) {
    for (guint i = 0; i < self->n_listeners; i++)
      g_message ("answering on UDP %s", self->listeners[i]->text);
    owd_program_notify ("READY=1");
    run (self);
    status = OWD_EXIT_DONE;
  }
  clear (self);
  return status;
}

int
owd_probe_reflect_main (int argc, char **argv)
{
  Options o = { .rate = 20000, .sessions = 16384 };
  const GOptionEntry entries[] = {
    { "listen", 'l', 0, G_OPTION_ARG_STRING_ARRAY, &o.listen, "Where to answer (all addresses, port 862)",
      "ADDR[:PORT]" },
    { "allow", 'a', 0, G_OPTION_ARG_STRING_ARRAY, &o.allow, "Answer only these; may be repeated", "ADDR[/BITS]" },
    { "rate", 0, 0, G_OPTION_ARG_INT, &o.rate, "Packets per second from one source; 0: any (20000)", "N" },
    { "sessions", 0, 0, G_OPTION_ARG_INT, &o.sessions, "How many to remember (16384)", "N" },
    { "stateless", 0, 0, G_OPTION_ARG_NONE, &o.stateless, "Copy sequence numbers instead of counting", NULL },
    { "answer-short", 0, 0, G_OPTION_ARG_NONE, &o.answer_short, "Also requests of 14 to 40 bytes, with 44", NULL },
    { "key-file", 0, 0, G_OPTION_ARG_FILENAME, &o.key_file, "Answer only what one of these keys has signed", "FILE" },
    { "user", 'u', 0, G_OPTION_ARG_STRING, &o.user, "Become this user once sockets are open (nobody)", "NAME" },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, "Answers STAMP and TWAMP-Light probes; never with more than it was sent.");
  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (status < 0 && owd_program_no_arguments (argc, argv, &error))
    status = reflect_with (&o, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  g_strfreev (o.listen);
  g_strfreev (o.allow);
  g_free (o.key_file);
  g_free (o.user);
  return status;
}
