/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of the program: send, reflect, and how results are written.
 */
#ifndef OWD_PROBE_PROGRAM_H
#define OWD_PROBE_PROGRAM_H

#include "owd-probe.h"

#include <stdio.h>

#define OWD_PROBE_PROGRAM "oneway-probe"

/* Each parses argv (its own name first) and returns the exit status. */
int owd_probe_send_main (int argc, char **argv);
int owd_probe_reflect_main (int argc, char **argv);
int owd_probe_report_main (int argc, char **argv);
int owd_probe_calibrate_main (int argc, char **argv);
int owd_probe_load_main (int argc, char **argv);
int owd_probe_path_main (int argc, char **argv);
int owd_probe_daemon_main (int argc, char **argv);

/* "20ms", "1.5 s", "2min", "100us", "7d"; at least min_ns. option: for the message. */
gboolean owd_probe_parse_duration (const char *text, const char *option, gint64 min_ns, gint64 *ret_ns,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Which of n names text is; NULL is the first. option: for the message. */
gboolean owd_probe_parse_name (const char *text, const char *const names[], guint n, const char *option, guint *ret,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- output ------------------------------------------------------------------------------------ */

typedef enum {
  OWD_PROBE_TABLE,
  OWD_PROBE_JSON,
  OWD_PROBE_CSV,
} OwdProbeFormat;

gboolean owd_probe_parse_format (const char *text, OwdProbeFormat *ret_format,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What is the same in all results of one target. Strings are borrowed. */
typedef struct {
  const char *target; /* as text, with port */
  const char *method; /* "stamp" */
  const char *test;   /* what the user calls this measurement; NULL: nothing */
  const char *agent;  /* what the user calls this machine */
  OwdTime run;        /* when this program started to measure: with agent, target and size the key of its results */
  guint size;         /* UDP payload */
  guint8 proto;       /* of the probes: with addresses and ports their flow key, as a router exports it */
  OwdAddr src, dst;
  guint16 sport, dport;
  gboolean shared; /* other packets than those that measure have the same flow key */
} OwdProbeLabel;

void owd_probe_print_csv_header (FILE *out);
/* sport: of this packet. */
void owd_probe_print_sample (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label, guint16 sport,
                             const OwdProbeSample *sample);
/* table or JSON; CSV has packets only */
void owd_probe_print_summary (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label,
                              const OwdProbeSummary *summary);

/* index: of the target on the command line. first_rtt_ns: of the first packet on this path, OWD_TIME_NONE: not known.
 */
void owd_probe_print_route_csv_header (FILE *out);
void owd_probe_print_route (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label, guint index,
                            const OwdProbeRouteSpan *span, gint64 first_rtt_ns);
/* table or JSON */
void owd_probe_print_route_change (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label,
                                   const OwdProbeRouteChange *change);

#endif
