/* SPDX-License-Identifier: Apache-2.0 */
#include "owd-program.h"

#include <errno.h>
#include <grp.h>
#include <locale.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What --version, --config and their like were set to; GOption writes here. */
typedef struct {
  char *config;
  gboolean check_config, print_config, verbose, version;
} CommonOptions;

/* The log writer's only state: set once, before threads start. */
static struct {
  const char *program;
  gboolean verbose;
} log_to;

static const char *
level_text (GLogLevelFlags level)
{
  if (level & G_LOG_LEVEL_ERROR)
    return "fatal: ";
  if (level & G_LOG_LEVEL_CRITICAL)
    return "critical: ";
  if (level & G_LOG_LEVEL_WARNING)
    return "warning: ";
  if (level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG))
    return "debug: ";
  return "";
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user)
{
  (void) user;
  if (!log_to.verbose && (level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)))
    return G_LOG_WRITER_HANDLED;
  for (gsize k = 0; k < n_fields; k++)
    if (g_str_equal (fields[k].key, "MESSAGE")) {
      int length = fields[k].length < 0 ? (int) strlen (fields[k].value) : (int) fields[k].length;

      fprintf (stderr, "%s: %s%.*s\n", log_to.program, level_text (level), length, (const char *) fields[k].value);
    }
  fflush (stderr);
  return G_LOG_WRITER_HANDLED;
}

static gboolean
parse_options (GOptionContext *context, int *argc, char ***argv, CommonOptions *common, GError **error)
{
  const GOptionEntry entries[] = {
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &common->config,
      "Settings (default: /etc/oneway/oneway.conf, where it exists)", "FILE" },
    { "check-config", 0, 0, G_OPTION_ARG_NONE, &common->check_config, "Check the settings and exit", NULL },
    { "print-config", 0, 0, G_OPTION_ARG_NONE, &common->print_config, "Print the effective settings and exit", NULL },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &common->verbose, "Say more on stderr", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &common->version, "Print the version and exit", NULL },
    { 0 },
  };

  g_option_context_add_main_entries (context, entries, NULL);
  return g_option_context_parse (context, argc, argv, error);
}

/* After a successful load: answers what only wants an answer. Returns -1 to go on. */
static int
answer (const CommonOptions *common, const OwdConfig *config)
{
  if (common->print_config) {
    g_autofree char *text = owd_config_print (config);

    fputs (text, stdout);
    return OWD_EXIT_DONE;
  }
  if (common->check_config) {
    printf ("%s: fine\n", common->config != NULL ? common->config : "settings");
    return OWD_EXIT_DONE;
  }
  return -1;
}

int
owd_program_start (GOptionContext *context, const char *program, int *argc, char ***argv, OwdConfig **ret_config)
{
  CommonOptions common = { 0 };
  g_autofree char *config_path = NULL;
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  setlocale (LC_CTYPE, ""); /* file names; numbers and messages stay those of "C" */
  log_to.program = program;
  g_log_set_writer_func (write_log, NULL, NULL);
  if (!parse_options (context, argc, argv, &common, &error)) {
    g_free (common.config);
    status = owd_program_fail (program, error);
    fprintf (stderr, "Try '%s --help'.\n", program);
    return status;
  }
  config_path = common.config;
  log_to.verbose = common.verbose;
  if (common.version) {
    printf ("%s %s\n", program, OWD_VERSION);
    return OWD_EXIT_DONE;
  }
  config = owd_config_load (common.config, &error);
  if (config == NULL)
    return owd_program_fail (program, error);
  status = answer (&common, config);
  if (status < 0)
    *ret_config = g_steal_pointer (&config);
  return status;
}

gboolean
owd_program_no_arguments (int argc, char **argv, GError **error)
{
  if (argc <= 1)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "'%s': there are no arguments but options", argv[1]);
  return FALSE;
}

int
owd_program_signal_fd (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGHUP);
  if (pthread_sigmask (SIG_BLOCK, &set, NULL) != 0)
    return -1;
  return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

gboolean
owd_program_drop_rights (const char *user, GError **error)
{
  const struct passwd *pw;

  (void) prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (user == NULL || geteuid () != 0)
    return TRUE;
  pw = getpwnam (user);
  if (pw == NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "cannot become %s: no such user", user);
    return FALSE;
  }
  if (setgroups (0, NULL) != 0 || setgid (pw->pw_gid) != 0 || setuid (pw->pw_uid) != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "cannot become %s: %s", user, g_strerror (errno));
    return FALSE;
  }
  return TRUE;
}

int
owd_program_fail (const char *program, GError *error)
{
  int status;

  if (error == NULL)
    return OWD_EXIT_DONE;
  fprintf (stderr, "%s: error: %s\n", program, error->message);
  status = owd_error_exit_status (error);
  g_error_free (error);
  return status;
}

void
owd_program_notify (const char *state)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  struct sockaddr_un to = { .sun_family = AF_UNIX };
  gsize length = path != NULL ? strlen (path) : 0;
  int fd;

  if (length < 2 || length >= sizeof to.sun_path)
    return;
  memcpy (to.sun_path, path, length);
  if (to.sun_path[0] == '@') /* abstract name */
    to.sun_path[0] = '\0';
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  if (sendto (fd, state, strlen (state), MSG_NOSIGNAL, (const struct sockaddr *) &to,
              (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length))
      < 0)
    g_debug ("cannot notify %s: %s", path, g_strerror (errno));
  close (fd);
}
