/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings of all programs, told once: a table row holds section, key, type, default, range and help, and feeds the
 * parser, the environment's names, --print-config and the man page. Defaults and bounds are written as in the file
 * and go through the same scanner, so they read the same everywhere.
 *
 * A configuration is built whole or not at all: every fault of the file is collected before the load fails.
 */
#include "owd-config.h"
#include "owd-light.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define DEFAULT_PATH "/etc/oneway/oneway.conf"
#define EXPORTER_PREFIX "exporter "
#define EXPORTER_NAME_MAX 127 /* bytes */

typedef enum {
  TYPE_INT,
  TYPE_BOOL,
  TYPE_DOUBLE,
  TYPE_DURATION,
  TYPE_SIZE,
  TYPE_STRING,
  TYPE_SECRET,
  TYPE_LIST,
  TYPE_PREFIXES
} Type;

typedef struct {
  const char *section, *key;
  Type type;
  const char *standard;  /* default; a double may have "": not set, NaN */
  const char *min, *max; /* for numbers, both included */
  const char *help;
} Option;

static const struct {
  const char *name, *help;
} sections[] = {
  { "log", "The flow log: written by the collector, read by correlator and profiler." },
  { "collector", "Receives NetFlow v5, v9 and IPFIX." },
  { "correlator", "Pairs the records of a flow and delivers one-way-delay samples in order." },
  { "profiler", "Measures the errors of every exporter's stamps." },
  { "database", "Where samples and profiles go." },
  { "probe", "The active measurement." },
  { "events", "Alarms: owd.events. The correlator judges by what is final, in the log's own time." },
};

/* In the order of sections[]; keys in the order in which they are printed. */
static const Option options[] = {
  { "log", "directory", TYPE_STRING, "/var/lib/oneway/log", NULL, NULL, "Directory of the flow log." },
  { "log", "partitions", TYPE_INT, "8", "1", "256",
    "Partitions of a new log; an existing log keeps its own. At most this many correlator workers find work." },
  { "log", "block-size", TYPE_SIZE, "256 KiB", "4 KiB", "16 MiB",
    "A block is written when it has grown to this size, or at the next heartbeat." },
  { "log", "segment-size", TYPE_SIZE, "256 MiB", "1 MiB", "1 TiB",
    "A segment file is closed when it has grown to this size. Retention removes whole segments." },
  { "log", "sync-interval", TYPE_DURATION, "1 s", "10 ms", "1 h",
    "How often the log is forced to the disk: what a power failure may cost at most. The death of a process costs "
    "nothing that was acknowledged." },
  { "log", "retain-age", TYPE_DURATION, "7 d", "0", "3650 d",
    "Segments older than this are removed. 0: no limit by age." },
  { "log", "retain-size", TYPE_SIZE, "0", "0", "1024 TiB",
    "The oldest segments are removed until the log is no larger than this. 0: no limit by size." },

  { "collector", "listen", TYPE_LIST, "[::]:2055;[::]:4739", NULL, NULL,
    "UDP addresses to receive on, ADDR:PORT or [ADDR]:PORT. Every format is understood on every port; [::] takes "
    "IPv4 too. With tcp: in front, a TCP address for IPFIX, as tcp:[::]:4739; with tls: one for IPFIX over "
    "TLS, as tls:[::]:4740." },
  { "collector", "allow", TYPE_PREFIXES, "", NULL, NULL,
    "Exporters to listen to. Datagrams from other addresses are counted and dropped, undecoded, TCP "
    "connections closed. Empty: everybody." },
  { "collector", "user", TYPE_STRING, "", NULL, NULL,
    "Started as root, the collector becomes this user once its sockets are bound. Empty: it stays root." },
  { "collector", "receive-buffer", TYPE_SIZE, "32 MiB", "64 KiB", "1 GiB",
    "Receive buffer asked of the kernel for each socket. Without the right to exceed net.core.rmem_max that limit "
    "counts." },
  { "collector", "workers", TYPE_INT, "1", "1", "64",
    "Threads that receive and decode; each has a socket of its own per address." },
  { "collector", "max-exporters", TYPE_INT, "4096", "1", "1000000",
    "Exporter states kept: one per address, version and source id or observation domain. Datagrams of further ones are "
    "counted and dropped." },
  { "collector", "max-memory", TYPE_SIZE, "256 MiB", "16 MiB", "1 TiB",
    "Memory for exporter states, their templates and data sets that wait for a template, of all workers together. When "
    "it is used up, addresses that never sent a flow record lose theirs; after that nothing new is taken. An address "
    "may use an eighth." },
  { "collector", "max-templates", TYPE_INT, "1024", "1", "65536", "Templates kept per exporter state." },
  { "collector", "template-timeout", TYPE_DURATION, "2 h", "0", "365 d",
    "A template that was not sent again for this long is forgotten. 0: never." },
  { "collector", "max-connections", TYPE_INT, "256", "1", "4096",
    "TCP connections that may be open; each may take 64 KiB, with TLS 96 KiB. Several workers have equal shares." },
  { "collector", "max-connections-per-address", TYPE_INT, "16", "1", "4096",
    "TCP connections that may be open from one address." },
  { "collector", "connection-timeout", TYPE_DURATION, "30 min", "0", "365 d",
    "A TCP connection without a whole message for this long is closed. 0: never." },
  { "collector", "tls-cert", TYPE_STRING, "", NULL, NULL,
    "Certificate for addresses with tls:, a PEM file, with the chain up to its authority." },
  { "collector", "tls-key", TYPE_STRING, "", NULL, NULL,
    "Private key of tls-cert, a PEM file without passphrase, which nobody else should be able to read." },
  { "collector", "tls-ca", TYPE_STRING, "", NULL, NULL,
    "Authorities, a PEM file: exporters that come with TLS must show a certificate of one of them. Empty: none is "
    "asked "
    "for." },
  { "collector", "tls-peers", TYPE_LIST, "", NULL, NULL,
    "Names, one of which an exporter's certificate must carry; .example.net stands for every host of that domain. "
    "Empty: every certificate of tls-ca will do." },
  { "collector", "tls-handshake-timeout", TYPE_DURATION, "10 s", "1 s", "10 min",
    "A TLS handshake that is not over by then ends the connection." },
  { "collector", "asn-database", TYPE_STRING, "", NULL, NULL,
    "Autonomous systems of addresses, a file in MaxMind's format, read again when it changes: for the endpoints of "
    "flows "
    "in counters and --dump. Empty: none." },
  { "collector", "country-database", TYPE_STRING, "", NULL, NULL, "Countries of addresses, likewise." },
  { "collector", "metrics", TYPE_STRING, "127.0.0.1:9255", NULL, NULL,
    "TCP address where counters can be read over HTTP: OpenMetrics on /metrics, a table of exporters on /. Empty: "
    "nowhere." },

  { "correlator", "workers", TYPE_INT, "0", "0", "256",
    "Worker threads. 0: one per processor, at most one per partition." },
  { "correlator", "max-latency", TYPE_DURATION, "120 s", "1 s", "1 d",
    "No sample waits longer than this for records that may still come." },
  { "correlator", "completeness", TYPE_DOUBLE, "0.99", "0.5", "1",
    "Share of records to wait for, as far as max-latency allows; the waiting time follows from the exporters' lag." },
  { "correlator", "commit-interval", TYPE_DURATION, "250 ms", "1 ms", "1 min",
    "Samples that are ready wait this long at most before they are committed, ten thousand do not wait. A watermark "
    "alone is committed four times as seldom." },
  { "correlator", "checkpoint-interval", TYPE_DURATION, "60 s", "1 ms", "1 d",
    "Work of this time at most, each partition, is done again after the correlator was killed; after an orderly end, "
    "none." },
  { "correlator", "max-flows", TYPE_INT, "4000000", "1000", "1000000000",
    "Waiting records kept in memory over all partitions. Above it whole flows are shed, chosen by the hash of their "
    "key." },
  { "correlator", "max-rate", TYPE_INT, "0", "0", "1000000000",
    "Records per second that are correlated, over all partitions; above it whole flows are shed, chosen by the hash of "
    "their key. 0: no limit; what the machine cannot work off at once waits in the log, see max-lag." },
  { "correlator", "max-lag", TYPE_DURATION, "5 min", "0", "30 d",
    "A log that is read this far behind its end, and not faster than it grows, is too much for the machine: whole "
    "flows "
    "are shed, chosen by the hash of their key, until it is not. Not with --once. 0: never; the log waits." },
  { "correlator", "state-directory", TYPE_STRING, "", NULL, NULL,
    "Where the correlator keeps what it needs to resume. Empty: folder state of the log's directory." },
  { "correlator", "clock-skew-bound-ppm", TYPE_DOUBLE, "100", "0.1", "1000",
    "No exporter's wall clock is expected to run faster or slower than this against its uptime for long." },
  { "correlator", "idle-timeout", TYPE_DURATION, "60 s", "1 s", "1 d",
    "An exporter that has sent nothing for this long no longer holds the watermark back." },

  { "profiler", "ntp-bound", TYPE_DURATION, "20 ms", "1 us", "1 h",
    "How far the clock of an exporter with ntp-trusted may be off: offsets of the others rest on it." },
  { "profiler", "probe-anchor", TYPE_BOOL, "yes", NULL, NULL,
    "Calibrations by oneway-probe bound exporters' clocks; a probe's clock is trusted by what it states of itself." },

  { "database", "conninfo", TYPE_SECRET, "", NULL, NULL,
    "PostgreSQL connection string of libpq. Empty: the environment (PGHOST and its like) counts." },
  { "database", "retain-samples", TYPE_DURATION, "48 h", "0", "3650 d",
    "Samples older than this, counted back from the watermark, are removed; so are, below, roll-ups of each "
    "resolution. Whole tables go, so some stay a little longer. 0: never." },
  { "database", "raw-samples-per-minute", TYPE_INT, "0", "0", "1000000000",
    "So many samples of a path and minute are kept raw at most, chosen by a hash of the flow, each partition its share "
    "of them, one at least; those far from the path's others are kept beyond. Roll-ups count all. 0: all." },
  { "database", "retain-10s", TYPE_DURATION, "7 d", "0", "36500 d", "Roll-ups of 10 s." },
  { "database", "retain-1min", TYPE_DURATION, "30 d", "0", "36500 d", "Roll-ups of 1 min." },
  { "database", "retain-5min", TYPE_DURATION, "90 d", "0", "36500 d", "Roll-ups of 5 min." },
  { "database", "retain-1h", TYPE_DURATION, "730 d", "0", "36500 d", "Roll-ups of 1 h." },
  { "database", "retain-1d", TYPE_DURATION, "3650 d", "0", "36500 d", "Roll-ups of 1 d." },
  { "database", "retain-probes", TYPE_DURATION, "90 d", "0", "3650 d",
    "Days of probe results that ended longer than this before the newest one are removed. 0: never." },

  { "probe", "agent", TYPE_STRING, "", NULL, NULL,
    "What results of oneway-probe daemon call this machine. Empty: its host name." },
  { "probe", "seed", TYPE_INT, "0", "0", "4294967295",
    "With agent and test name it decides when within its period a test begins." },
  { "probe", "spool", TYPE_STRING, "/var/lib/oneway/probe", NULL, NULL,
    "Directory where results wait for the database." },
  { "probe", "spool-size", TYPE_SIZE, "1 GiB", "1 MiB", "1024 TiB",
    "The oldest results that wait are given up until they are no more than this." },
  { "probe", "store", TYPE_BOOL, "yes", NULL, NULL,
    "Whether the daemon loads results into the database. no: they wait for oneway-probe load." },

  { "events", "threshold", TYPE_DURATION, "400 ms", "0", "1 h",
    "The 95th percentile of a path's delay in a minute is above this. 0: no such event; so below." },
  { "events", "level-shift", TYPE_DURATION, "2 ms", "0", "1 min",
    "The floor of a path's delay has moved by more than this, and than its own noise, against the hour before: a route "
    "has "
    "changed, or a clock was set." },
  { "events", "distribution", TYPE_DOUBLE, "0.35", "0", "1",
    "Kolmogorov-Smirnov distance of an hour from the same hour of the seven days before." },
  { "events", "loss", TYPE_DOUBLE, "0.01", "0", "1", "Share of packets lost in a minute, of 100 or more." },
  { "events", "silent", TYPE_DURATION, "5 min", "0", "1 d", "A busy path has no samples for this long." },
  { "events", "stalled", TYPE_DURATION, "10 min", "0", "30 d", "The watermark is this far behind the server's clock." },
  { "events", "raise-after", TYPE_INT, "3", "1", "1440",
    "Minutes in a row that raise an event of threshold, loss or negative delay." },
  { "events", "clear-after", TYPE_INT, "5", "1", "1440", "Minutes in a row, well below the threshold, that clear it." },
};

/* [test NAME] and [targets NAME]: what 'oneway-probe daemon' does; see owd_config_n_named(). */
static const Option test_options[] = {
  { "test NAME", "enabled", TYPE_BOOL, "yes", NULL, NULL, "Whether it runs." },
  { "test NAME", "targets", TYPE_LIST, "", NULL, NULL, "Names of [targets] sections. Required." },
  { "test NAME", "method", TYPE_STRING, "stamp", NULL, NULL,
    "stamp, tcp-ack, tcp-syn or tcp-connect (see oneway-probe send), path-udp, path-tcp or path-icmp (see oneway-probe "
    "path)." },
  { "test NAME", "every", TYPE_DURATION, "20 min", "0", "365 d",
    "How often it begins, counted from 1970, later by a part of this time that depends on seed, agent and test: "
    "agents with the same file do not begin together, and a restart changes nothing. With path methods: how often "
    "paths "
    "are traced. 0: without end." },
  { "test NAME", "count", TYPE_INT, "100", "0", "1000000000",
    "Packets per target and run. Of no meaning with path methods, or where 'every' is 0." },
  { "test NAME", "interval", TYPE_DURATION, "100 ms", "1 us", "30 d",
    "Between packets, bursts or trains; with path methods between packets over the whole path, 1 s at least." },
  { "test NAME", "schedule", TYPE_STRING, "isochronous", NULL, NULL, "isochronous, poisson, burst or train." },
  { "test NAME", "burst", TYPE_INT, "10", "1", "1000000", "Packets of a burst or train." },
  { "test NAME", "gap", TYPE_DURATION, "10 ms", "0", "1 d", "Between the packets of a burst." },
  { "test NAME", "profile", TYPE_STRING, "", NULL, NULL,
    "voice, conference-up, conference-down or gaming: then interval and size are that application's." },
  { "test NAME", "size", TYPE_STRING, "", NULL, NULL, "Payloads in bytes, separated by ','. Empty: the least." },
  { "test NAME", "dscp", TYPE_INT, "0", "0", "63", "Of probes, and wished for the replies." },
  { "test NAME", "tlvs", TYPE_STRING, "", NULL, NULL, "STAMP: as option --tlvs of oneway-probe send." },
  { "test NAME", "reports", TYPE_BOOL, "yes", NULL, NULL,
    "STAMP: whether reflectors are asked what has arrived, in packets of their own; see oneway-probe." },
  { "test NAME", "ports", TYPE_INT, "0", "0", "10000",
    "Source ports, used in turn. 0: 1, with tcp-ack and tcp-syn 1000." },
  { "test NAME", "port", TYPE_INT, "0", "0", "65535", "Of targets that name none. 0: the method's own." },
  { "test NAME", "timeout", TYPE_DURATION, "2 s", "1 ms", "1 h", "What is not answered after this is lost." },
  { "test NAME", "key-file", TYPE_STRING, "", NULL, NULL, "STAMP: authenticated, with a key from here." },
  { "test NAME", "key", TYPE_STRING, "", NULL, NULL, "Which key of that file." },
};

static const Option targets_options[] = {
  { "targets NAME", "hosts", TYPE_LIST, "", NULL, NULL, "HOST, HOST:PORT or [ADDR]:PORT. Required." },
  { "targets NAME", "nearest", TYPE_INT, "0", "0", "1000",
    "Only so many of them: those with the fewest hops, among these the ones with the shortest round trip. 0: all." },
  { "targets NAME", "look-every", TYPE_DURATION, "1 h", "1 s", "30 d",
    "How often to find out which ones are nearest." },
};

typedef struct {
  const char *kind, *title;
  const Option *table;
  gsize n;
  const char *help;
} NamedKind;

static const NamedKind named_kinds[] = {
  { "test", "test NAME", test_options, G_N_ELEMENTS (test_options),
    "One section per measurement of 'oneway-probe daemon'; results carry its name." },
  { "targets", "targets NAME", targets_options, G_N_ELEMENTS (targets_options), "A group of hosts to be probed." },
};

static const Option exporter_options[] = {
  { "exporter NAME", "address", TYPE_STRING, "", NULL, NULL, "Source address of the export datagrams. Required." },
  { "exporter NAME", "domain", TYPE_INT, "-1", "-1", "4294967295",
    "Source id (v9), observation domain (IPFIX) or engine type * 256 + engine id (v5). -1: every one of this "
    "address." },
  { "exporter NAME", "ntp-trusted", TYPE_BOOL, "yes", NULL, NULL,
    "Whether this clock is disciplined well enough to serve as anchor for others." },
  { "exporter NAME", "latitude", TYPE_DOUBLE, "", "-90", "90",
    "Site in degrees, north positive. Bounds delays: no packet is faster than light in fibre along the great circle; "
    "so leave it out where a radio link is." },
  { "exporter NAME", "longitude", TYPE_DOUBLE, "", "-180", "180", "Site in degrees, east positive." },
};

enum { EXPORTER_ADDRESS, EXPORTER_DOMAIN, EXPORTER_TRUSTED, EXPORTER_LATITUDE, EXPORTER_LONGITUDE };

typedef struct {
  char *text; /* as written in file, environment or table */
  gint64 i;   /* int, bool, duration in ns, size in bytes */
  double d;   /* double; for the other numbers: i */
  char **list;
  OwdPrefix *prefixes;
  guint n_prefixes;
} Value;

typedef struct {
  char *name;
  Value values[G_N_ELEMENTS (exporter_options)];
  OwdConfigExporter shown; /* borrows from the fields above */
} Exporter;

typedef struct {
  const NamedKind *kind;
  char *name;
  Value *values; /* kind->n */
} Named;

struct OwdConfig {
  char *path; /* as owd_config_load() was asked for */
  Value values[G_N_ELEMENTS (options)];
  GPtrArray *exporters; /* of Exporter */
  GPtrArray *named;     /* of Named, in the file's order */
};

/* ---- scanning ---------------------------------------------------------------------------------- */

typedef struct {
  const char *name;
  gint64 factor;
} Unit;

static const Unit duration_units[] = {
  { "ns", 1 },
  { "us", OWD_NS_PER_US },
  { "ms", OWD_NS_PER_MS },
  { "s", OWD_NS_PER_S },
  { "min", 60 * OWD_NS_PER_S },
  { "h", 3600 * OWD_NS_PER_S },
  { "d", 86400 * OWD_NS_PER_S },
  { NULL, 0 },
};

static const Unit size_units[] = {
  { "B", 1 },
  { "KiB", G_GINT64_CONSTANT (1) << 10 },
  { "MiB", G_GINT64_CONSTANT (1) << 20 },
  { "GiB", G_GINT64_CONSTANT (1) << 30 },
  { "TiB", G_GINT64_CONSTANT (1) << 40 },
  { "kB", 1000 },
  { "MB", 1000000 },
  { "GB", 1000000000 },
  { "TB", G_GINT64_CONSTANT (1000000000000) },
  { NULL, 0 },
};

static gboolean
scan_int (const char *text, gint64 *ret)
{
  return g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, ret, NULL);
}

static gboolean
scan_double (const char *text, double *ret)
{
  char *end;

  errno = 0;
  *ret = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && errno == 0 && isfinite (*ret);
}

/* Number, optional space, unit; a bare 0 needs none. "1.5 s" is fine, exact to the nearest unit of the result. */
static gboolean
scan_with_unit (const char *text, const Unit *units, gint64 *ret)
{
  gsize digits = strspn (text, "0123456789."), gap = strspn (text + digits, " ");
  g_autofree char *number = g_strndup (text, digits);
  const char *unit = text + digits + gap;
  double d;

  if (g_str_equal (text, "0")) {
    *ret = 0;
    return TRUE;
  }
  while (units->name != NULL && !g_str_equal (units->name, unit))
    units++;
  if (units->name == NULL)
    return FALSE;
  if (scan_int (number, ret))
    return !__builtin_mul_overflow (*ret, units->factor, ret);
  if (!scan_double (number, &d) || d * (double) units->factor > 9e18)
    return FALSE;
  *ret = llround (d * (double) units->factor);
  return TRUE;
}

static gboolean
scan_bool (const char *text, gint64 *ret)
{
  static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

  for (gsize k = 0; k < G_N_ELEMENTS (words); k++)
    if (g_ascii_strcasecmp (text, words[k]) == 0) {
      *ret = k % 2;
      return TRUE;
    }
  return FALSE;
}

static char **
scan_list (const char *text)
{
  g_auto (GStrv) raw = g_strsplit (text, ";", -1);
  g_autoptr (GStrvBuilder) list = g_strv_builder_new ();

  for (char **s = raw; *s != NULL; s++)
    if (*g_strstrip (*s) != '\0')
      g_strv_builder_add (list, *s);
  return g_strv_builder_end (list);
}

static gboolean
scan_prefixes (const char *text, Value *value)
{
  g_auto (GStrv) list = scan_list (text);

  value->n_prefixes = g_strv_length (list);
  value->prefixes = g_new0 (OwdPrefix, value->n_prefixes);
  for (guint i = 0; i < value->n_prefixes; i++)
    if (!owd_prefix_parse (list[i], &value->prefixes[i]))
      return FALSE;
  return TRUE;
}

static void
clear_value (Value *value)
{
  g_clear_pointer (&value->prefixes, g_free);
  g_clear_pointer (&value->text, g_free);
  g_clear_pointer (&value->list, g_strfreev);
}

/* Shape only, without the range. value: cleared or zeroed. */
static gboolean
scan_value (const Option *option, const char *text, Value *value)
{
  gboolean ok = TRUE;

  value->text = g_strdup (text);
  switch (option->type) {
  case TYPE_INT:
    ok = scan_int (text, &value->i);
    break;
  case TYPE_BOOL:
    ok = scan_bool (text, &value->i);
    break;
  case TYPE_DURATION:
    ok = scan_with_unit (text, duration_units, &value->i);
    break;
  case TYPE_SIZE:
    ok = scan_with_unit (text, size_units, &value->i);
    break;
  case TYPE_DOUBLE:
    if (*text != '\0' || *option->standard != '\0')
      return scan_double (text, &value->d);
    value->d = NAN;
    return TRUE;
  case TYPE_LIST:
    value->list = scan_list (text);
    return TRUE;
  case TYPE_PREFIXES:
    return scan_prefixes (text, value);
  case TYPE_STRING:
  case TYPE_SECRET:
    return TRUE;
  }
  value->d = (double) value->i;
  return ok;
}

static const char *
type_text (Type type)
{
  switch (type) {
  case TYPE_INT:
    return "whole number";
  case TYPE_BOOL:
    return "yes or no";
  case TYPE_DOUBLE:
    return "number";
  case TYPE_DURATION:
    return "duration with unit (ns, us, ms, s, min, h, d)";
  case TYPE_SIZE:
    return "size with unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)";
  case TYPE_STRING:
  case TYPE_SECRET:
    return "text";
  case TYPE_LIST:
    return "list, separated by ';'";
  case TYPE_PREFIXES:
    return "list of IPv4 and IPv6 prefixes (ADDR or ADDR/BITS), separated by ';'";
  }
  return "";
}

/* What may stand there: "whole number, 1 to 256". */
static char *
allowed_text (const Option *option)
{
  if (option->min == NULL)
    return g_strdup (type_text (option->type));
  return g_strdup_printf ("%s, %s to %s", type_text (option->type), option->min, option->max);
}

static gboolean
in_range (const Option *option, const Value *value)
{
  Value min = { 0 }, max = { 0 };
  gboolean inside;

  if (option->min == NULL || isnan (value->d))
    return TRUE;
  if (!scan_value (option, option->min, &min) || !scan_value (option, option->max, &max))
    g_error ("[%s] %s: the table's range is not of its type", option->section, option->key);
  if (option->type == TYPE_DOUBLE)
    inside = min.d <= value->d && value->d <= max.d;
  else
    inside = min.i <= value->i && value->i <= max.i;
  clear_value (&min);
  clear_value (&max);
  return inside;
}

/* ---- loading ----------------------------------------------------------------------------------- */

typedef struct {
  const char *path; /* for messages */
  GKeyFile *file;
  GString *faults; /* a line each */
} Load;

static void G_GNUC_PRINTF (4, 5) add_fault (Load *load, const char *group, const char *key, const char *format, ...)
{
  va_list args;

  if (load->faults->len > 0)
    g_string_append_c (load->faults, '\n');
  g_string_append_printf (load->faults, "%s: [%s]", load->path, group);
  if (key != NULL)
    g_string_append_printf (load->faults, " %s", key);
  g_string_append (load->faults, ": ");
  va_start (args, format);
  g_string_append_vprintf (load->faults, format, args);
  va_end (args);
}

/* ONEWAY_SECTION_KEY, '-' as '_'. */
static char *
environment_name (const Option *option)
{
  char *name = g_strdup_printf ("ONEWAY_%s_%s", option->section, option->key);

  for (char *p = name; *p != '\0'; p++)
    *p = *p == '-' ? '_' : g_ascii_toupper (*p);
  return name;
}

/* Text of a setting by precedence, and where it comes from. Returns: (transfer full). */
static char *
find_text (Load *load, const Option *option, const char *group, gboolean with_environment, char **ret_origin)
{
  g_autofree char *variable = environment_name (option);
  const char *from_environment = with_environment ? g_getenv (variable) : NULL;
  g_autoptr (GError) error = NULL;
  char *text;

  if (from_environment != NULL) {
    *ret_origin = g_strdup_printf ("'%s' (from the environment, %s)", from_environment, variable);
    return g_strstrip (g_strdup (from_environment));
  }
  if (!g_key_file_has_key (load->file, group, option->key, NULL))
    return g_strdup (option->standard);
  text = g_key_file_get_string (load->file, group, option->key, &error);
  if (text == NULL) {
    add_fault (load, group, option->key, "%s", error->message);
    return g_strdup (option->standard);
  }
  *ret_origin = option->type == TYPE_SECRET ? g_strdup ("the value") : g_strdup_printf ("'%s'", text);
  return g_strchomp (text);
}

static void
load_values (Load *load, const Option *table, gsize n, const char *group, Value *values)
{
  for (gsize k = 0; k < n; k++) {
    const Option *option = &table[k];
    const char *in_group = group != NULL ? group : option->section;
    g_autofree char *origin = NULL;
    g_autofree char *text = find_text (load, option, in_group, group == NULL, &origin);
    g_autofree char *allowed = allowed_text (option);

    if (!scan_value (option, text, &values[k]))
      add_fault (load, in_group, option->key, "%s is no %s", origin, allowed);
    else if (!in_range (option, &values[k]))
      add_fault (load, in_group, option->key, "%s is out of range; allowed: %s", origin, allowed);
  }
}

/* Keys that the file has and the table does not. group: as in the file, section: as in the table. */
static void
check_keys (Load *load, const Option *table, gsize n, const char *group, const char *section)
{
  g_auto (GStrv) keys = g_key_file_get_keys (load->file, group, NULL, NULL);

  for (char **key = keys; key != NULL && *key != NULL; key++) {
    g_autoptr (GString) known = g_string_new (NULL);
    gboolean found = FALSE;

    for (gsize k = 0; k < n; k++)
      if (g_str_equal (table[k].section, section)) {
        found |= g_str_equal (table[k].key, *key);
        g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "", table[k].key);
      }
    if (!found)
      add_fault (load, group, *key, "unknown key; known here: %s", known->len > 0 ? known->str : "none");
  }
}

static void
free_exporter (gpointer data)
{
  Exporter *exporter = data;

  for (gsize k = 0; k < G_N_ELEMENTS (exporter->values); k++)
    clear_value (&exporter->values[k]);
  g_free (exporter->name);
  g_free (exporter);
}

/* Checks that span several keys of one exporter, or several exporters. */
static void
check_exporter (Load *load, const OwdConfig *self, const char *group, Exporter *exporter)
{
  OwdConfigExporter *shown = &exporter->shown;
  const char *address = exporter->values[EXPORTER_ADDRESS].text;
  gboolean has_latitude, has_longitude;

  *shown = (OwdConfigExporter){
    .name = exporter->name,
    .domain = exporter->values[EXPORTER_DOMAIN].i,
    .ntp_trusted = exporter->values[EXPORTER_TRUSTED].i != 0,
    .latitude = exporter->values[EXPORTER_LATITUDE].d,
    .longitude = exporter->values[EXPORTER_LONGITUDE].d,
  };
  has_latitude = !isnan (shown->latitude);
  has_longitude = !isnan (shown->longitude);
  shown->has_site = has_latitude && has_longitude;
  if (*exporter->name == '\0' || strlen (exporter->name) > EXPORTER_NAME_MAX)
    add_fault (load, group, NULL, "the name after 'exporter' must have 1 to %d bytes", EXPORTER_NAME_MAX);
  if (has_latitude != has_longitude)
    add_fault (load, group, has_latitude ? "longitude" : "latitude", "missing; a site needs both");
  if (*address == '\0')
    add_fault (load, group, "address", "missing");
  else if (!owd_addr_parse (address, &shown->addr))
    add_fault (load, group, "address", "'%s' is no IPv4 or IPv6 address", address);
  else
    for (guint i = 0; i < self->exporters->len; i++) {
      const Exporter *other = g_ptr_array_index (self->exporters, i);

      if (memcmp (&other->shown.addr, &shown->addr, sizeof shown->addr) == 0 && other->shown.domain == shown->domain)
        add_fault (load, group, "address", "address and domain are those of [" EXPORTER_PREFIX "%s]", other->name);
    }
}

static void
load_exporter (Load *load, OwdConfig *self, const char *group)
{
  Exporter *exporter = g_new0 (Exporter, 1);

  exporter->name = g_strstrip (g_strdup (group + strlen (EXPORTER_PREFIX)));
  check_keys (load, exporter_options, G_N_ELEMENTS (exporter_options), group, "exporter NAME");
  load_values (load, exporter_options, G_N_ELEMENTS (exporter_options), group, exporter->values);
  check_exporter (load, self, group, exporter);
  g_ptr_array_add (self->exporters, exporter);
}

static void
free_named (gpointer data)
{
  Named *named = data;

  for (gsize k = 0; k < named->kind->n; k++)
    clear_value (&named->values[k]);
  g_free (named->values);
  g_free (named->name);
  g_free (named);
}

/* Returns: FALSE where the group is none of these. */
static gboolean
load_named (Load *load, OwdConfig *self, const char *group)
{
  for (gsize k = 0; k < G_N_ELEMENTS (named_kinds); k++) {
    const NamedKind *kind = &named_kinds[k];
    gsize prefix = strlen (kind->kind);
    Named *named;

    if (!g_str_has_prefix (group, kind->kind) || group[prefix] != ' ')
      continue;
    named = g_new0 (Named, 1);
    named->kind = kind;
    named->name = g_strstrip (g_strdup (group + prefix));
    named->values = g_new0 (Value, kind->n);
    check_keys (load, kind->table, kind->n, group, kind->title);
    load_values (load, kind->table, kind->n, group, named->values);
    if (*named->name == '\0')
      add_fault (load, group, NULL, "a name is missing after '%s'", kind->kind);
    g_ptr_array_add (self->named, named);
    return TRUE;
  }
  return FALSE;
}

static const Value *
named_value (const Named *named, const char *key, Type type)
{
  for (gsize k = 0; k < named->kind->n; k++)
    if (g_str_equal (named->kind->table[k].key, key) && named->kind->table[k].type == type)
      return &named->values[k];
  g_error ("[%s] %s is not in the table of settings with this type", named->kind->title, key);
}

static const Named *
find_named (const OwdConfig *self, const char *kind, const char *name)
{
  for (guint i = 0; i < self->named->len; i++) {
    const Named *named = g_ptr_array_index (self->named, i);

    if (g_str_equal (named->kind->kind, kind) && g_str_equal (named->name, name))
      return named;
  }
  return NULL;
}

static void
check_method (Load *load, const char *group, const char *method)
{
  static const char *const methods[]
      = { "stamp", "tcp-ack", "tcp-syn", "tcp-connect", "path-udp", "path-tcp", "path-icmp", NULL };

  if (!g_strv_contains (methods, method))
    add_fault (load, group, "method",
               "'%s' is none of stamp, tcp-ack, tcp-syn, tcp-connect, path-udp, path-tcp, path-icmp", method);
}

/* What cannot be told while a single section is read: do tests name targets that there are? */
static void
check_named (Load *load, const OwdConfig *self)
{
  for (guint i = 0; i < self->named->len; i++) {
    const Named *named = g_ptr_array_index (self->named, i);
    gboolean test = g_str_equal (named->kind->kind, "test");
    const char *key = test ? "targets" : "hosts";
    g_autofree char *group = g_strdup_printf ("%s %s", named->kind->kind, named->name);
    char **list = named_value (named, key, TYPE_LIST)->list;

    if (list[0] == NULL)
      add_fault (load, group, key, "missing");
    if (test)
      check_method (load, group, named_value (named, "method", TYPE_STRING)->text);
    for (; test && *list != NULL; list++)
      if (find_named (self, "targets", *list) == NULL)
        add_fault (load, group, key, "there is no section [targets %s]", *list);
  }
}

static void
load_group (Load *load, OwdConfig *self, const char *group)
{
  if (load_named (load, self, group))
    return;
  if (g_str_has_prefix (group, EXPORTER_PREFIX)) {
    load_exporter (load, self, group);
    return;
  }
  for (gsize k = 0; k < G_N_ELEMENTS (sections); k++)
    if (g_str_equal (sections[k].name, group)) {
      check_keys (load, options, G_N_ELEMENTS (options), group, group);
      return;
    }
  add_fault (
      load, group, NULL,
      "unknown section; known: log, collector, correlator, profiler, database, probe, events, exporter NAME, test "
      "NAME, targets NAME");
}

static gboolean
read_file (GKeyFile *file, const char *path, GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, &cause))
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: %s", path, cause->message);
  return FALSE;
}

OwdConfig *
owd_config_load (const char *path, GError **error)
{
  g_autoptr (OwdConfig) self = g_atomic_rc_box_new0 (OwdConfig);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GString) faults = g_string_new (NULL);
  g_auto (GStrv) groups = NULL;
  Load load = { .path = path, .file = file, .faults = faults };

  self->path = g_strdup (path);
  self->exporters = g_ptr_array_new_with_free_func (free_exporter);
  self->named = g_ptr_array_new_with_free_func (free_named);
  if (path == NULL && g_file_test (DEFAULT_PATH, G_FILE_TEST_EXISTS))
    load.path = DEFAULT_PATH;
  if (load.path != NULL && !read_file (file, load.path, error))
    return NULL;
  if (load.path == NULL)
    load.path = "settings";
  load_values (&load, options, G_N_ELEMENTS (options), NULL, self->values);
  groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group != NULL; group++)
    load_group (&load, self, *group);
  check_named (&load, self);
  if (faults->len > 0) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, faults->str);
    return NULL;
  }
  return g_steal_pointer (&self);
}

OwdConfig *
owd_config_reload (const OwdConfig *self, GError **error)
{
  return owd_config_load (self->path, error);
}

OwdConfig *
owd_config_ref (OwdConfig *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear_config (gpointer data)
{
  OwdConfig *self = data;

  for (gsize k = 0; k < G_N_ELEMENTS (self->values); k++)
    clear_value (&self->values[k]);
  g_ptr_array_unref (self->exporters);
  g_ptr_array_unref (self->named);
  g_free (self->path);
}

void
owd_config_unref (OwdConfig *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, clear_config);
}

/* ---- reading ----------------------------------------------------------------------------------- */

static gsize
row_of (const char *section, const char *key)
{
  for (gsize k = 0; k < G_N_ELEMENTS (options); k++)
    if (g_str_equal (options[k].section, section) && g_str_equal (options[k].key, key))
      return k;
  g_error ("[%s] %s is not in the table of settings", section, key);
}

static const Value *
value_of (const OwdConfig *self, const char *section, const char *key, Type type)
{
  gsize row = row_of (section, key);

  if (options[row].type != type)
    g_error ("[%s] %s is not asked for by its type", section, key);
  return &self->values[row];
}

gboolean
owd_config_same (const OwdConfig *a, const OwdConfig *b, const char *section, const char *key)
{
  gsize row = row_of (section, key);

  return g_str_equal (a->values[row].text, b->values[row].text);
}

gint64
owd_config_int (const OwdConfig *self, const char *section, const char *key)
{
  return value_of (self, section, key, TYPE_INT)->i;
}

gboolean
owd_config_bool (const OwdConfig *self, const char *section, const char *key)
{
  return value_of (self, section, key, TYPE_BOOL)->i != 0;
}

double
owd_config_double (const OwdConfig *self, const char *section, const char *key)
{
  return value_of (self, section, key, TYPE_DOUBLE)->d;
}

gint64
owd_config_duration_ns (const OwdConfig *self, const char *section, const char *key)
{
  return value_of (self, section, key, TYPE_DURATION)->i;
}

guint64
owd_config_size (const OwdConfig *self, const char *section, const char *key)
{
  return (guint64) value_of (self, section, key, TYPE_SIZE)->i;
}

const char *
owd_config_string (const OwdConfig *self, const char *section, const char *key)
{
  gboolean is_secret = options[row_of (section, key)].type == TYPE_SECRET;

  return value_of (self, section, key, is_secret ? TYPE_SECRET : TYPE_STRING)->text;
}

const char *const *
owd_config_list (const OwdConfig *self, const char *section, const char *key)
{
  return (const char *const *) value_of (self, section, key, TYPE_LIST)->list;
}

const OwdPrefix *
owd_config_prefixes (const OwdConfig *self, const char *section, const char *key, guint *ret_n)
{
  const Value *value = value_of (self, section, key, TYPE_PREFIXES);

  *ret_n = value->n_prefixes;
  return value->prefixes;
}

guint
owd_config_n_exporters (const OwdConfig *self)
{
  return self->exporters->len;
}

const OwdConfigExporter *
owd_config_exporter (const OwdConfig *self, guint i)
{
  const Exporter *exporter = g_ptr_array_index (self->exporters, i);

  return &exporter->shown;
}

static const OwdConfigExporter *
find_exporter (const OwdConfig *self, const OwdAddr *addr, guint32 domain)
{
  const OwdConfigExporter *found = NULL;

  for (guint i = 0; i < self->exporters->len; i++) {
    const OwdConfigExporter *exporter = owd_config_exporter (self, i);

    if (memcmp (&exporter->addr, addr, sizeof *addr) != 0)
      continue;
    if (exporter->domain == (gint64) domain)
      return exporter;
    if (exporter->domain < 0)
      found = exporter;
  }
  return found;
}

const char *
owd_config_exporter_name (const OwdConfig *self, const OwdAddr *addr, guint32 domain)
{
  const OwdConfigExporter *exporter = find_exporter (self, addr, domain);

  return exporter != NULL ? exporter->name : NULL;
}

gint64
owd_config_floor_ns (const OwdConfig *self, const OwdStateKey *a, const OwdStateKey *b)
{
  const OwdConfigExporter *x = find_exporter (self, &a->addr, a->domain),
                          *y = find_exporter (self, &b->addr, b->domain);

  if (x == NULL || y == NULL || !x->has_site || !y->has_site)
    return 0;
  return (gint64) (owd_light_ms (x->latitude, x->longitude, y->latitude, y->longitude) * OWD_NS_PER_MS);
}

char *
owd_config_point_name (const OwdConfig *self, const OwdStateKey *key, GHashTable *states)
{
  const char *configured = owd_config_exporter_name (self, &key->addr, key->domain);
  gboolean domains = FALSE, versions = FALSE;
  char addr[OWD_ADDR_TEXT];
  GHashTableIter iter;
  gpointer other;
  GString *name;

  g_hash_table_iter_init (&iter, states);
  while (g_hash_table_iter_next (&iter, &other, NULL)) {
    const OwdStateKey *o = other;

    if (memcmp (&o->addr, &key->addr, sizeof o->addr) != 0
        || g_strcmp0 (configured, owd_config_exporter_name (self, &o->addr, o->domain)) != 0)
      continue;
    domains |= o->domain != key->domain;
    versions |= o->domain == key->domain && o->version != key->version;
  }
  name = g_string_new (configured != NULL ? configured : owd_addr_text (&key->addr, addr));
  if (domains)
    g_string_append_printf (name, "#%u", key->domain);
  if (versions)
    g_string_append_printf (name, "/v%u", key->version);
  return g_string_free (name, FALSE);
}

static const Named *
nth_named (const OwdConfig *self, const char *kind, guint n)
{
  for (guint i = 0; i < self->named->len; i++) {
    const Named *named = g_ptr_array_index (self->named, i);

    if (g_str_equal (named->kind->kind, kind) && n-- == 0)
      return named;
  }
  return NULL;
}

const char *
owd_config_named (const OwdConfig *self, const char *kind, guint n)
{
  const Named *named = nth_named (self, kind, n);

  return named != NULL ? named->name : NULL;
}

static const Value *
value_of_named (const OwdConfig *self, const char *kind, const char *name, const char *key, Type type)
{
  const Named *named = find_named (self, kind, name);

  if (named == NULL)
    g_error ("there is no section [%s %s]", kind, name);
  return named_value (named, key, type);
}

gint64
owd_config_named_int (const OwdConfig *self, const char *kind, const char *name, const char *key)
{
  return value_of_named (self, kind, name, key, TYPE_INT)->i;
}

gboolean
owd_config_named_bool (const OwdConfig *self, const char *kind, const char *name, const char *key)
{
  return value_of_named (self, kind, name, key, TYPE_BOOL)->i != 0;
}

gint64
owd_config_named_duration_ns (const OwdConfig *self, const char *kind, const char *name, const char *key)
{
  return value_of_named (self, kind, name, key, TYPE_DURATION)->i;
}

const char *
owd_config_named_string (const OwdConfig *self, const char *kind, const char *name, const char *key)
{
  return value_of_named (self, kind, name, key, TYPE_STRING)->text;
}

const char *const *
owd_config_named_list (const OwdConfig *self, const char *kind, const char *name, const char *key)
{
  return (const char *const *) value_of_named (self, kind, name, key, TYPE_LIST)->list;
}

/* ---- printing ---------------------------------------------------------------------------------- */

static void
print_value (GKeyFile *file, const Option *option, const char *group, const Value *value)
{
  g_autofree char *allowed = allowed_text (option);
  g_autofree char *comment = NULL;

  if (option->type == TYPE_SECRET && *value->text != '\0') {
    comment = g_strdup_printf (" %s\n %s; it is set, and not shown", option->help, allowed);
    g_key_file_set_string (file, group, option->key, "");
  } else {
    comment = g_strdup_printf (" %s\n %s; default '%s'", option->help, allowed, option->standard);
    g_key_file_set_string (file, group, option->key, value->text);
  }
  g_key_file_set_comment (file, group, option->key, comment, NULL);
}

char *
owd_config_print (const OwdConfig *self)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  for (gsize k = 0; k < G_N_ELEMENTS (options); k++)
    print_value (file, &options[k], options[k].section, &self->values[k]);
  for (guint i = 0; i < self->exporters->len; i++) {
    const Exporter *exporter = g_ptr_array_index (self->exporters, i);
    g_autofree char *group = g_strconcat (EXPORTER_PREFIX, exporter->name, NULL);

    for (gsize k = 0; k < G_N_ELEMENTS (exporter_options); k++)
      print_value (file, &exporter_options[k], group, &exporter->values[k]);
  }
  for (guint i = 0; i < self->named->len; i++) {
    const Named *named = g_ptr_array_index (self->named, i);
    g_autofree char *group = g_strdup_printf ("%s %s", named->kind->kind, named->name);

    for (gsize k = 0; k < named->kind->n; k++)
      print_value (file, &named->kind->table[k], group, &named->values[k]);
  }
  return g_key_file_to_data (file, NULL, NULL);
}

/* Appends text as mdoc input, a sentence a line: no character of it is taken for a request or an escape. */
static void
man_text (GString *man, const char *text)
{
  char before = '\0';

  for (; *text != '\0'; before = *text++) {
    if (before == '.' && *text == ' ') {
      g_string_append_c (man, '\n');
      continue;
    }
    if (man->str[man->len - 1] == '\n' && (*text == '.' || *text == '\''))
      g_string_append (man, "\\&");
    if (*text == '\\')
      g_string_append (man, "\\e");
    else
      g_string_append_c (man, *text);
  }
  g_string_append_c (man, '\n');
}

static void
man_option (GString *man, const Option *option)
{
  g_autofree char *allowed = allowed_text (option);
  g_autofree char *facts = g_strdup_printf ("Value: %s.", allowed);

  g_string_append_printf (man, ".It Cm %s\n", option->key);
  man_text (man, option->help);
  man_text (man, facts);
  if (*option->standard != '\0')
    g_string_append_printf (man, "Default:\n.Ql %s .\n", option->standard);
}

static void
man_section (GString *man, const char *section, const char *help, const Option *table, gsize n)
{
  gboolean open = FALSE;

  g_string_append_printf (man, ".Ss [%s]\n", section);
  man_text (man, help);
  for (gsize k = 0; k < n; k++)
    if (g_str_equal (table[k].section, section)) {
      if (!open)
        g_string_append (man, ".Bl -tag -width Ds\n");
      open = TRUE;
      man_option (man, &table[k]);
    }
  if (open)
    g_string_append (man, ".El\n");
}

char *
owd_config_man (void)
{
  GString *man = g_string_new (NULL);

  for (gsize k = 0; k < G_N_ELEMENTS (sections); k++)
    man_section (man, sections[k].name, sections[k].help, options, G_N_ELEMENTS (options));
  man_section (man, "exporter NAME", "One section per observation point; NAME is shown instead of the address.",
               exporter_options, G_N_ELEMENTS (exporter_options));
  for (gsize k = 0; k < G_N_ELEMENTS (named_kinds); k++)
    man_section (man, named_kinds[k].title, named_kinds[k].help, named_kinds[k].table, named_kinds[k].n);
  return g_string_free (man, FALSE);
}
