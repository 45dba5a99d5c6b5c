/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe daemon: measures as oneway.conf says.
 *
 * Each run of a test is a process of its own, oneway-probe send or path: what goes wrong in one stays there, its
 * schedule is nobody else's, and the daemon needs no second way to measure. Results leave through the spool; a thread
 * (keeper.c) takes them to the database. Nothing is remembered between starts but what waits in the spool: when tests
 * begin is a matter of the clock (policy.c), who is nearest is found out anew.
 */
#include "keeper.h"
#include "net.h"
#include "owd-program.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  GROUP_MAX = 1000,
  SLEEP_MS = 60000,
  END_WAIT_MS = 10000, /* for measurements to end in good order */
};

#define TRACES_NS (300 * OWD_NS_PER_S) /* where a test of paths says nothing else */
#define TRIPS_MIN_NS OWD_NS_PER_S      /* between packets over a whole path */

typedef struct Daemon Daemon;

/* Those of a group that a test asks. */
typedef struct {
  const char *name;
  const char *const *hosts;
  guint n_hosts, nearest;
  gint64 look_ns;
  OwdTime looked; /* OWD_TIME_NONE: never */
  guint n_chosen;
  guint *chosen; /* indices; NULL: all */
} Group;

typedef struct {
  Daemon *daemon;
  const char *name, *method;
  gint64 every_ns, offset_ns;
  GArray *groups; /* of Group */
  GPid child;     /* 0: none */
  int looking;    /* group that the child looks at; -1: it measures */
  int output;     /* of such a child; -1: none */
  guint timer;
  OwdTime due;     /* real */
  guint failures;  /* in a row */
  gboolean silent; /* the last run had no answer */
  gboolean ending;
} Test;

struct Daemon {
  OwdConfig *config;
  char *agent;
  guint32 seed;
  GMainLoop *loop;
  GPtrArray *tests; /* of Test */
  OwdProbeKeeper *keeper;
  gboolean stop, reload;
};

static void begin (Test *t);

/* ---- settings ---------------------------------------------------------------------------------- */

static gint64
duration (const Test *t, const char *key)
{
  return owd_config_named_duration_ns (t->daemon->config, "test", t->name, key);
}

static gint64
number (const Test *t, const char *key)
{
  return owd_config_named_int (t->daemon->config, "test", t->name, key);
}

static const char *
text (const Test *t, const char *key)
{
  return owd_config_named_string (t->daemon->config, "test", t->name, key);
}

static gboolean
is_path (const Test *t)
{
  return g_str_has_prefix (t->method, "path-");
}

/* One process measures on and on. Of paths it traces every so often: only a process that knows the route of before can
 * tell of a change. */
static gboolean
is_endless (const Test *t)
{
  return t->every_ns == 0 || is_path (t);
}

/* ---- command lines ----------------------------------------------------------------------------- */

static void
add (GStrvBuilder *args, const char *option, const char *value)
{
  g_strv_builder_add (args, option);
  g_strv_builder_add (args, value);
}

static void G_GNUC_PRINTF (3, 4) add_formatted (GStrvBuilder *args, const char *option, const char *format, ...)
{
  g_autofree char *value = NULL;
  va_list list;

  va_start (list, format);
  value = g_strdup_vprintf (format, list);
  va_end (list);
  add (args, option, value);
}

static void
add_where_set (GStrvBuilder *args, const Test *t, const char *option, const char *key)
{
  if (*text (t, key) != '\0')
    add (args, option, text (t, key));
}

static void
add_common (GStrvBuilder *args, const Test *t)
{
  const Daemon *d = t->daemon;

  g_strv_builder_add (args, "--keep-going");
  add (args, "--test", t->name);
  add (args, "--agent", d->agent);
  add (args, "--spool", owd_config_string (d->config, "probe", "spool"));
  add_formatted (args, "--timeout", "%" G_GINT64_FORMAT "ns", duration (t, "timeout"));
  add_formatted (args, "--dscp", "%" G_GINT64_FORMAT, number (t, "dscp"));
  if (number (t, "port") != 0)
    add_formatted (args, "--port", "%" G_GINT64_FORMAT, number (t, "port"));
  if (!is_endless (t) && number (t, "count") > 0)
    add_formatted (args, "--count", "%" G_GINT64_FORMAT, number (t, "count"));
}

static void
add_send (GStrvBuilder *args, const Test *t)
{
  add (args, "--format", "json");
  g_strv_builder_add (args, "--no-packets");
  if (*text (t, "profile") != '\0')
    add (args, "--profile", text (t, "profile"));
  else
    add_formatted (args, "--interval", "%" G_GINT64_FORMAT "ns", duration (t, "interval"));
  add_where_set (args, t, "--size", "size");
  add (args, "--schedule", text (t, "schedule"));
  add_formatted (args, "--burst", "%" G_GINT64_FORMAT, number (t, "burst"));
  add_formatted (args, "--gap", "%" G_GINT64_FORMAT "ns", duration (t, "gap"));
  if (number (t, "ports") != 0)
    add_formatted (args, "--ports", "%" G_GINT64_FORMAT, number (t, "ports"));
  add_where_set (args, t, "--tlvs", "tlvs");
  if (!owd_config_named_bool (t->daemon->config, "test", t->name, "reports"))
    g_strv_builder_add (args, "--no-reports");
  add_where_set (args, t, "--key-file", "key-file");
  add_where_set (args, t, "--key", "key");
  if (g_str_has_prefix (t->method, "tcp-"))
    add (args, "--tcp", t->method + strlen ("tcp-"));
}

static void
add_hosts (GStrvBuilder *args, const Test *t)
{
  g_strv_builder_add (args, "--");
  for (guint k = 0; k < t->groups->len; k++) {
    const Group *g = &g_array_index (t->groups, Group, k);

    for (guint i = 0; i < (g->chosen != NULL ? g->n_chosen : g->n_hosts); i++)
      g_strv_builder_add (args, g->hosts[g->chosen != NULL ? g->chosen[i] : i]);
  }
}

/* The command line of a run. Returns: (transfer full). */
static GStrv
command_of (const Test *t)
{
  g_autoptr (GStrvBuilder) args = g_strv_builder_new ();

  g_strv_builder_add (args, "/proc/self/exe");
  g_strv_builder_add (args, is_path (t) ? "path" : "send");
  add_common (args, t);
  if (is_path (t)) {
    add (args, "--format", "json");
    add (args, "--method", t->method + strlen ("path-"));
    add_formatted (args, "--interval", "%" G_GINT64_FORMAT "ns", t->every_ns > 0 ? t->every_ns : TRACES_NS);
    add_formatted (args, "--trips", "%" G_GINT64_FORMAT "ns", MAX (duration (t, "interval"), TRIPS_MIN_NS));
  } else {
    add_send (args, t);
  }
  add_hosts (args, t);
  return g_strv_builder_end (args);
}

/* One that finds out how far the hosts of a group are. */
static GStrv
look_command_of (const Test *t, const Group *g)
{
  g_autoptr (GStrvBuilder) args = g_strv_builder_new ();
  gboolean tcp = g_str_has_prefix (t->method, "tcp-");

  g_strv_builder_add (args, "/proc/self/exe");
  g_strv_builder_add (args, "path");
  g_strv_builder_add (args, "--keep-going");
  add (args, "--format", "csv");
  add (args, "--method", is_path (t) ? t->method + strlen ("path-") : tcp ? "tcp" : "udp");
  if (number (t, "port") != 0)
    add_formatted (args, "--port", "%" G_GINT64_FORMAT, number (t, "port"));
  else if (g_str_equal (t->method, "stamp"))
    add_formatted (args, "--port", "%d", OWD_PROBE_PORT);
  g_strv_builder_add (args, "--");
  for (guint i = 0; i < g->n_hosts; i++)
    g_strv_builder_add (args, g->hosts[i]);
  return g_strv_builder_end (args);
}

/* ---- processes --------------------------------------------------------------------------------- */

static void
in_child (gpointer user)
{
  sigset_t none;

  (void) user;
  prctl (PR_SET_PDEATHSIG, SIGINT); /* nobody measures for a daemon that is gone */
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static void on_end (GPid pid, gint status, gpointer user);

static gboolean
spawn (Test *t, GStrv command, int output, GError **error)
{
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  gboolean started = g_spawn_async_with_fds (NULL, command, NULL, G_SPAWN_DO_NOT_REAP_CHILD, in_child, NULL, &t->child,
                                             null, output >= 0 ? output : null, -1, error);

  if (null >= 0)
    close (null);
  if (started)
    g_child_watch_add (t->child, on_end, t);
  else
    t->child = 0;
  return started;
}

static void call_when_due (Test *t);

static gboolean
on_timer (gpointer user)
{
  Test *t = user;

  t->timer = 0;
  if (is_endless (t) && t->child != 0)
    kill (t->child, SIGINT); /* it is time to see who is nearest */
  else if (owd_probe_clock_real () >= t->due)
    begin (t);
  else
    call_when_due (t);
  return G_SOURCE_REMOVE;
}

/* The wall clock may be set meanwhile: no sleep is long, and the grid is asked anew on waking up. */
static void
call_when_due (Test *t)
{
  OwdTime now = owd_probe_clock_real ();

  if (!is_endless (t) || (t->due == 0 && t->every_ns > 0)) /* of paths, the first trace */
    t->due = owd_probe_policy_next (now, t->every_ns, t->offset_ns);
  else
    t->due = now + (t->failures > 0 ? owd_probe_policy_pause_ns (t->failures) : 0);
  g_clear_handle_id (&t->timer, g_source_remove);
  t->timer = g_timeout_add ((guint) CLAMP ((t->due - now) / OWD_NS_PER_MS + 1, 1, SLEEP_MS), on_timer, t);
}

/* ---- who is nearest ---------------------------------------------------------------------------- */

static char *
read_all (int fd)
{
  GString *all = g_string_new (NULL);
  char buf[4096];
  gssize n;

  lseek (fd, 0, SEEK_SET);
  while ((n = read (fd, buf, sizeof buf)) > 0)
    g_string_append_len (all, buf, n);
  return g_string_free (all, FALSE);
}

/* Rows of oneway-probe path --format csv. */
static void
read_distances (const char *csv, OwdProbeDistance *distances, guint n)
{
  g_auto (GStrv) lines = g_strsplit (csv, "\n", -1);

  for (char **line = lines[0] != NULL ? lines + 1 : lines; *line != NULL; line++) {
    g_auto (GStrv) cell = g_strsplit (*line, ",", -1);
    guint64 index, hops;

    if (g_strv_length (cell) == 8 && g_str_equal (cell[5], "1")
        && g_ascii_string_to_unsigned (cell[0], 10, 0, n - 1, &index, NULL)
        && g_ascii_string_to_unsigned (cell[6], 10, 1, 255, &hops, NULL))
      distances[index]
          = (OwdProbeDistance){ .hops = (guint) hops, .rtt_ns = (gint64) (g_ascii_strtod (cell[7], NULL) * 1e6) };
  }
}

static void
choose (const Test *t, Group *g, const char *csv)
{
  g_autofree OwdProbeDistance *distances = g_new0 (OwdProbeDistance, g->n_hosts);
  g_autofree guint *chosen = g_new (guint, g->nearest);
  g_autoptr (GString) said = g_string_new (NULL);
  guint n;

  read_distances (csv, distances, g->n_hosts);
  n = owd_probe_policy_nearest (distances, g->n_hosts, g->nearest, chosen);
  g->looked = owd_probe_clock_steady ();
  if (n == 0) {
    g_message ("test %s: none of [targets %s] can be reached; %s", t->name, g->name,
               g->chosen != NULL ? "those of before are asked" : "all are asked");
    return;
  }
  if (g->chosen != NULL && n == g->n_chosen && memcmp (chosen, g->chosen, sizeof *chosen * n) == 0)
    return;
  for (guint i = 0; i < n; i++)
    g_string_append_printf (said, "%s%s (%u hops, %.3f ms)", i > 0 ? ", " : "", g->hosts[chosen[i]],
                            distances[chosen[i]].hops, (double) distances[chosen[i]].rtt_ns / 1e6);
  g_message ("test %s: nearest of [targets %s]: %s", t->name, g->name, said->str);
  g_free (g->chosen);
  g->chosen = g_steal_pointer (&chosen);
  g->n_chosen = n;
}

static int
open_output (void)
{
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp ("oneway-probe-XXXXXX", &path, NULL);

  if (fd >= 0)
    unlink (path);
  return fd;
}

/* Returns: TRUE where a look has been started, and the measurement has to wait for it. */
static gboolean
look (Test *t)
{
  OwdTime now = owd_probe_clock_steady ();

  for (guint k = 0; k < t->groups->len; k++) {
    Group *g = &g_array_index (t->groups, Group, k);
    g_autoptr (GError) error = NULL;
    g_auto (GStrv) command = NULL;

    if (g->nearest == 0 || (g->looked != OWD_TIME_NONE && now - g->looked < g->look_ns))
      continue;
    t->output = open_output ();
    command = look_command_of (t, g);
    if (t->output >= 0 && spawn (t, command, t->output, &error)) {
      t->looking = (int) k;
      return TRUE;
    }
    g_warning ("test %s: cannot look who is nearest: %s", t->name, error != NULL ? error->message : g_strerror (errno));
    g->looked = now;
    if (t->output >= 0)
      close (t->output);
    t->output = -1;
  }
  return FALSE;
}

static void
end_look (Test *t)
{
  g_autofree char *csv = read_all (t->output);

  choose (t, &g_array_index (t->groups, Group, (guint) t->looking), csv);
  close (t->output);
  t->output = -1;
  t->looking = -1;
}

/* ---- runs -------------------------------------------------------------------------------------- */

/* Ends a run without end when it is time to look who is nearest. */
static void
call_for_look (Test *t)
{
  gint64 look_ns = G_MAXINT64;

  for (guint k = 0; k < t->groups->len; k++) {
    const Group *g = &g_array_index (t->groups, Group, k);

    if (g->nearest > 0)
      look_ns = MIN (look_ns, g->look_ns);
  }
  g_clear_handle_id (&t->timer, g_source_remove);
  if (look_ns < G_MAXINT64)
    t->timer = g_timeout_add_seconds ((guint) (look_ns / OWD_NS_PER_S), on_timer, t);
}

static void
begin (Test *t)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) command = NULL;

  if (t->child != 0) {
    g_message ("test %s: the last run has not ended yet; this one is left out", t->name);
    call_when_due (t);
    return;
  }
  if (look (t))
    return;
  command = command_of (t);
  if (spawn (t, command, -1, &error)) {
    if (is_endless (t))
      call_for_look (t);
    else
      call_when_due (t);
    return;
  }
  t->failures++;
  g_warning ("test %s: %s", t->name, error->message);
  call_when_due (t);
}

static void
judge_end (Test *t, int status)
{
  int code = WIFEXITED (status) ? WEXITSTATUS (status) : -1;

  if (code == OWD_EXIT_DONE || code == OWD_EXIT_NOTHING) {
    if (t->failures > 0)
      g_message ("test %s: runs again", t->name);
    if (t->silent != (code == OWD_EXIT_NOTHING))
      g_message ("test %s: %s", t->name, t->silent ? "there are answers again" : "nobody answers");
    t->silent = code == OWD_EXIT_NOTHING;
    t->failures = 0;
  } else if (t->failures++ == 0) {
    g_warning ("test %s: a run has failed; it is tried again", t->name);
  }
}

static void
on_end (GPid pid, gint status, gpointer user)
{
  Test *t = user;
  gboolean looked = t->looking >= 0;

  g_spawn_close_pid (pid);
  t->child = 0;
  if (looked)
    end_look (t);
  if (t->ending) {
    g_main_loop_quit (t->daemon->loop);
    return;
  }
  if (!looked)
    judge_end (t, status);
  if (looked)
    begin (t);
  else if (is_endless (t))
    call_when_due (t);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void
clear_group (gpointer data)
{
  g_free (((Group *) data)->chosen);
}

static void
free_test (gpointer data)
{
  Test *t = data;

  g_clear_handle_id (&t->timer, g_source_remove);
  g_array_unref (t->groups);
  g_free (t);
}

static gboolean
add_groups (Test *t, GError **error)
{
  const OwdConfig *config = t->daemon->config;
  const char *const *names = owd_config_named_list (config, "test", t->name, "targets");

  for (; *names != NULL; names++) {
    const char *const *hosts = owd_config_named_list (config, "targets", *names, "hosts");
    Group g = { .name = *names,
                .hosts = hosts,
                .nearest = (guint) owd_config_named_int (config, "targets", *names, "nearest"),
                .look_ns = owd_config_named_duration_ns (config, "targets", *names, "look-every"),
                .looked = OWD_TIME_NONE };

    while (hosts[g.n_hosts] != NULL)
      g.n_hosts++;
    if (g.n_hosts > GROUP_MAX) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "[targets %s] hosts: at most %d", g.name, GROUP_MAX);
      return FALSE;
    }
    g_array_append_val (t->groups, g);
  }
  return TRUE;
}

static void
say_test (const Test *t)
{
  char next[OWD_TIME_TEXT];

  if (t->every_ns > 0)
    g_message ("test %s: %s every %g s, at second %.3f of them; next %s", t->name, t->method,
               (double) t->every_ns / 1e9, (double) t->offset_ns / 1e9,
               owd_time_text (owd_probe_policy_next (owd_probe_clock_real (), t->every_ns, t->offset_ns), next));
  else
    g_message ("test %s: %s without end", t->name, t->method);
}

static gboolean
add_test (Daemon *self, const char *name, GError **error)
{
  Test *t = g_new0 (Test, 1);

  g_ptr_array_add (self->tests, t);
  *t = (Test){ .daemon = self, .name = name, .looking = -1, .output = -1 };
  t->groups = g_array_new (FALSE, FALSE, sizeof (Group));
  g_array_set_clear_func (t->groups, clear_group);
  t->method = text (t, "method");
  t->every_ns = duration (t, "every");
  t->offset_ns = owd_probe_policy_offset_ns (self->seed, self->agent, name, t->every_ns);
  return add_groups (t, error);
}

/* Everything that follows from self->config. */
static gboolean
setup (Daemon *self, GError **error)
{
  const char *name;
  OwdProbeKeeperConfig keeper = { .spool = owd_config_string (self->config, "probe", "spool"),
                                  .size = owd_config_size (self->config, "probe", "spool-size"),
                                  .store = owd_config_bool (self->config, "probe", "store"),
                                  .conninfo = owd_config_string (self->config, "database", "conninfo"),
                                  .keep_ns = owd_config_duration_ns (self->config, "database", "retain-probes") };

  self->seed = (guint32) owd_config_int (self->config, "probe", "seed");
  g_free (self->agent);
  self->agent = g_strdup (owd_config_string (self->config, "probe", "agent"));
  if (*self->agent == '\0') {
    g_free (self->agent);
    self->agent = g_strdup (g_get_host_name ());
  }
  for (guint i = 0; (name = owd_config_named (self->config, "test", i)) != NULL; i++)
    if (owd_config_named_bool (self->config, "test", name, "enabled") && !add_test (self, name, error))
      return FALSE;
  self->keeper = owd_probe_keeper_new (&keeper, error);
  return self->keeper != NULL;
}

static void
start (Daemon *self)
{
  g_message ("agent %s, seed %u", self->agent, self->seed);
  for (guint i = 0; i < self->tests->len; i++) {
    Test *t = self->tests->pdata[i];

    say_test (t);
    call_when_due (t);
  }
}

static gboolean
on_patience (gpointer user)
{
  gboolean *over = user;

  *over = TRUE;
  return G_SOURCE_REMOVE;
}

/* Asks measurements to end, waits for them, forgets the tests. */
static void
end_tests (Daemon *self)
{
  gboolean over = FALSE;
  guint timer = g_timeout_add (END_WAIT_MS, on_patience, &over);

  for (guint i = 0; i < self->tests->len; i++) {
    Test *t = self->tests->pdata[i];

    t->ending = TRUE;
    g_clear_handle_id (&t->timer, g_source_remove);
    if (t->child != 0)
      kill (t->child, SIGINT);
  }
  for (guint i = 0; i < self->tests->len; i++) {
    const Test *t = self->tests->pdata[i];

    while (t->child != 0) {
      if (over)
        kill (t->child, SIGKILL);
      g_main_context_iteration (NULL, TRUE);
    }
  }
  if (!over)
    g_source_remove (timer);
  g_ptr_array_set_size (self->tests, 0);
}

/* ---- the program ------------------------------------------------------------------------------- */

static gboolean
on_signal_end (gpointer user)
{
  Daemon *self = user;

  self->stop = TRUE;
  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_signal_reload (gpointer user)
{
  Daemon *self = user;

  self->reload = TRUE;
  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

/* New settings, or the old ones where they are faulty. */
static gboolean
reload (Daemon *self, GError **error)
{
  g_autoptr (GError) faults = NULL;
  OwdConfig *config = owd_config_reload (self->config, &faults);

  self->reload = FALSE;
  if (config == NULL) {
    g_warning ("the settings stay as they are: %s", faults->message);
    return TRUE;
  }
  end_tests (self);
  owd_probe_keeper_end (g_steal_pointer (&self->keeper));
  owd_config_unref (self->config);
  self->config = config;
  if (!setup (self, error))
    return FALSE;
  start (self);
  return TRUE;
}

static int
measure (OwdConfig *config, GError **error)
{
  Daemon self = { .config = owd_config_ref (config),
                  .loop = g_main_loop_new (NULL, FALSE),
                  .tests = g_ptr_array_new_with_free_func (free_test) };
  gboolean fine = setup (&self, error);

  if (fine && self.tests->len == 0) { /* after a reload that is in order: there may be tests again some day */
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, "there is no enabled section [test NAME]");
    fine = FALSE;
  }

  g_unix_signal_add (SIGINT, on_signal_end, &self);
  g_unix_signal_add (SIGTERM, on_signal_end, &self);
  g_unix_signal_add (SIGHUP, on_signal_reload, &self);
  if (fine) {
    start (&self);
    owd_program_notify ("READY=1");
  }
  while (fine && !self.stop) {
    g_main_loop_run (self.loop);
    if (self.reload)
      fine = reload (&self, error);
  }
  end_tests (&self);
  owd_probe_keeper_end (self.keeper);
  g_ptr_array_unref (self.tests);
  g_main_loop_unref (self.loop);
  owd_config_unref (self.config);
  g_free (self.agent);
  return fine ? OWD_EXIT_DONE : -1;
}

int
owd_probe_daemon_main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, "Runs the tests of oneway.conf, and takes results to the database.");
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (status < 0 && owd_program_no_arguments (argc, argv, &error))
    status = measure (config, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  return status;
}
