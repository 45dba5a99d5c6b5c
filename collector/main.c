/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-collector: NetFlow and IPFIX into the flow log. Wiring only.
 */
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#include "dump.h"
#include "export.h"
#include "live.h"
#include "log_walk.h"
#include "owd-program.h"
#include "replay.h"
#include "rights.h"

#define PROGRAM "oneway-collector"

typedef struct {
  char *log, *export;
  char **listen, **read;
  char *tls_cert, *tls_key, *tls_ca;
  gboolean dump;
} Options;

static void
clear_options (Options *options)
{
  g_free (options->log);
  g_free (options->export);
  g_free (options->tls_cert);
  g_free (options->tls_key);
  g_free (options->tls_ca);
  g_strfreev (options->listen);
  g_strfreev (options->read);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, clear_options)

static gboolean
check_options (const Options *options, int n_left, GError **error)
{
  const char *fault = NULL;

  if (n_left > 0)
    fault = "arguments that are no options are not understood";
  else if (options->dump && options->read != NULL && options->log != NULL)
    fault = "--dump shows either a log (--log) or a capture (--read), not both";
  else if (options->export != NULL && (options->dump || options->read != NULL || options->listen != NULL))
    fault = "--export goes with --log only";
  else if (options->listen != NULL && (options->dump || options->read != NULL))
    fault = "--listen goes neither with --read nor with --dump";
  if (fault != NULL)
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, fault);
  return fault == NULL;
}

static const char *
log_directory (const Options *options, const OwdConfig *config)
{
  return options->log != NULL ? options->log : owd_config_string (config, "log", "directory");
}

static OwdLogWriter *
open_log (const Options *options, const OwdConfig *config, GError **error)
{
  OwdLogOptions log = {
    .partitions = (guint) owd_config_int (config, "log", "partitions"),
    .block_bytes = owd_config_size (config, "log", "block-size"),
    .segment_bytes = owd_config_size (config, "log", "segment-size"),
  };
  const char *dir = log_directory (options, config);
  OwdLogWriter *writer = owd_log_writer_open (dir, &log, error);
  guint partitions;
  guint64 cut;

  if (writer == NULL)
    return NULL;
  cut = owd_log_writer_cut_bytes (writer, &partitions);
  if (cut > 0)
    g_message ("%s: unclean end before: cut %" G_GUINT64_FORMAT " bytes of unfinished blocks in %u partitions", dir,
               cut, partitions);
  return writer;
}

/* ---- what the program can be asked for: each returns the exit status or sets error -------------- */

static void
dump_record (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  owd_dump_flow (user, header, flow);
}

static void
export_record (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  owd_export_flow (user, header, flow);
}

static int
log_status (guint64 records, guint damaged)
{
  if (damaged > 0)
    return OWD_EXIT_FAILED; /* the rest has been given, and the damage said */
  return records > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
}

static int
run_dump_log (const char *dir, const OwdConfig *config, GError **error)
{
  g_autoptr (OwdDump) dump = owd_dump_new (STDOUT_FILENO, owd_settings_geo_watch (config, NULL));
  guint damaged;

  if (!owd_log_walk (dir, dump_record, dump, &damaged, error) || !owd_dump_finish (dump, error))
    return OWD_EXIT_FAILED;
  return log_status (owd_dump_records (dump), damaged);
}

static int
run_export (const char *dir, const char *path, GError **error)
{
  g_autoptr (OwdExport) export = owd_export_new (path, error);
  guint damaged;

  if (export == NULL || !owd_log_walk (dir, export_record, export, &damaged, error)
      || !owd_export_finish (export, error))
    return OWD_EXIT_FAILED;
  g_message ("%s: %" G_GUINT64_FORMAT " flow records", path, owd_export_records (export));
  return log_status (owd_export_records (export), damaged);
}

static int
run_read (const Options *options, const OwdConfig *config, GError **error)
{
  const OwdDecoderLimits limits = owd_settings_decoder_limits (config);
  g_autoptr (OwdDump) dump = NULL;
  g_autoptr (OwdLogWriter) writer = NULL;
  gint64 datagrams;

  if (options->dump) {
    dump = owd_dump_new (STDOUT_FILENO, owd_settings_geo_watch (config, NULL));
  } else {
    writer = open_log (options, config, error);
    if (writer == NULL)
      return OWD_EXIT_FAILED;
  }
  datagrams = owd_replay ((const char *const *) options->read, &limits, writer, dump, error);
  return datagrams > 0 ? OWD_EXIT_DONE : datagrams == 0 ? OWD_EXIT_NOTHING : OWD_EXIT_FAILED;
}

static int
run_live (const Options *options, OwdConfig *config, GError **error)
{
  const OwdSettingsOverrides overrides
      = { .tls_cert = options->tls_cert, .tls_key = options->tls_key, .tls_ca = options->tls_ca };
  const char *const *listen = options->listen != NULL ? (const char *const *) options->listen
                                                      : owd_config_list (config, "collector", "listen");
  const char *user = owd_config_string (config, "collector", "user");
  int signal_fd = owd_program_signal_fd ();
  g_autoptr (OwdLogWriter) writer = NULL;
  g_autoptr (GPtrArray) workers = NULL; /* goes before the writer */

  if (signal_fd < 0) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_FAILED, "cannot catch signals");
    return OWD_EXIT_FAILED;
  }
  workers = owd_live_bind (config, &overrides, listen, error);
  if (workers == NULL || !owd_rights_drop (user, log_directory (options, config), error))
    return OWD_EXIT_FAILED;
  writer = open_log (options, config, error);
  if (writer == NULL
      || !owd_live_run (workers, writer, log_directory (options, config), config, &overrides, signal_fd, error))
    return OWD_EXIT_FAILED;
  return OWD_EXIT_DONE;
}

static int
run (const Options *options, int n_left, OwdConfig *config, GError **error)
{
  if (!check_options (options, n_left, error))
    return OWD_EXIT_USAGE;
  if (options->export != NULL)
    return run_export (log_directory (options, config), options->export, error);
  if (options->dump && options->read == NULL)
    return run_dump_log (log_directory (options, config), config, error);
  if (options->read != NULL)
    return run_read (options, config, error);
  return run_live (options, config, error);
}

int
main (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  const GOptionEntry entries[] = {
    { "log", 'l', 0, G_OPTION_ARG_FILENAME, &options.log, "Flow log to write, or to show with --dump", "DIR" },
    { "listen", 'L', 0, G_OPTION_ARG_STRING_ARRAY, &options.listen,
      "Receive on this UDP address, or IPFIX over TCP or TLS; may be given several times (default: *:2055 and *:4739)",
      "[tcp:|tls:]ADDR:PORT" },
    { "tls-cert", 0, 0, G_OPTION_ARG_FILENAME, &options.tls_cert, "Certificate for tls: addresses (PEM)", "FILE" },
    { "tls-key", 0, 0, G_OPTION_ARG_FILENAME, &options.tls_key, "Its private key (PEM)", "FILE" },
    { "tls-ca", 0, 0, G_OPTION_ARG_FILENAME, &options.tls_ca,
      "Exporters must show a certificate of one of these authorities (PEM)", "FILE" },
    { "read", 'r', 0, G_OPTION_ARG_FILENAME_ARRAY, &options.read,
      "Take exported datagrams from a pcap or pcapng file, - is stdin; may be given several times", "FILE" },
    { "export", 'e', 0, G_OPTION_ARG_FILENAME, &options.export, "Write the log as an IPFIX file (RFC 5655)", "FILE" },
    { "dump", 'd', 0, G_OPTION_ARG_NONE, &options.dump, "Print flow records as JSON, one object per line", NULL },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- receive NetFlow v5, v9 and IPFIX into a flow log");
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, PROGRAM, &argc, &argv, &config);
  if (status >= 0)
    return status;
  status = run (&options, argc - 1, config, &error);
  return error != NULL ? owd_program_fail (PROGRAM, error) : status;
}
