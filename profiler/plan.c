/* SPDX-License-Identifier: Apache-2.0
 *
 * What a correlator will need for exporters that behave as their profiles say.
 *
 *   horizon   a start can be matched until its record is in: the largest 99.9 % quantile of start lags, held by
 * max-latency memory    records wait for that long: rate * horizon * bytes each samples   two records of a flow give a
 * start and an end, so as many samples as records where flows pass two points; a flow that passes k points gives k (k -
 * 1) / 2 pairs out of k records
 */
#include "internal.h"

#include <math.h>

#define RECORD_WAITING_BYTES 100 /* in the correlator: a record and its share of the tables */
#define RECORD_LOG_BYTES 48      /* in the log; */
#define DATAGRAM_LOG_BYTES 400   /* a header in each partition, and a place in the blocks' dictionaries */
#define SAMPLE_BYTES 143         /* in the database, with its index */
#define DAY_S 86400.0
#define MIB (1024.0 * 1024)
#define GIB (1024.0 * MIB)

void
owd_profile_plan (const OwdProfileSummary *const *all, guint n, double max_latency_s, OwdProfilePlan *ret)
{
  double datagrams_per_s = 0;

  *ret = (OwdProfilePlan){ .exporters = n };
  for (guint i = 0; i < n; i++) {
    const OwdProfileSummary *s = all[i];
    const OwdEstimate *lag = s->lag_start_ms[3].known ? &s->lag_start_ms[3] : &s->lag_start_ms[2];

    ret->records_per_s += s->records_per_s;
    datagrams_per_s += s->records_per_s * (double) s->headers / (double) MAX (s->records, 1);
    ret->peak_records_per_s += s->peak_records_per_s;
    if (!lag->known)
      ret->unknown++;
    else
      ret->wished_horizon_s = MAX (ret->wished_horizon_s, lag->hi / 1000);
  }
  ret->horizon_s = ret->wished_horizon_s;
  if (ret->unknown == n || ret->horizon_s > max_latency_s)
    ret->horizon_s = max_latency_s;
  ret->memory_mib = ret->records_per_s * ret->horizon_s * RECORD_WAITING_BYTES / MIB;
  ret->log_gib_per_day = (ret->records_per_s * RECORD_LOG_BYTES + datagrams_per_s * DATAGRAM_LOG_BYTES) * DAY_S / GIB;
  ret->samples_per_s = ret->records_per_s;
  ret->database_gib_per_day = ret->samples_per_s * DAY_S * SAMPLE_BYTES / GIB;
}

void
owd_profile_plan_text (const OwdProfilePlan *p, GString *out)
{
  g_string_append_printf (out, "%u exporter states, %.1f records per second in the mean, %.0f if all peak at once\n",
                          p->exporters, p->records_per_s, p->peak_records_per_s);
  if (p->unknown > 0)
    g_string_append_printf (out, "  not in the horizon: %u states with too few records\n", p->unknown);
  g_string_append_printf (out, "  horizon     %.0f s", p->horizon_s);
  if (p->wished_horizon_s > p->horizon_s)
    g_string_append_printf (out,
                            ", held by max-latency; 99.9 %% of all starts would need %.0f s: shorter active timeouts "
                            "help",
                            p->wished_horizon_s);
  g_string_append_printf (out,
                          "\n  correlator  %.1f MiB for records that wait\n"
                          "  log         %.2f GiB a day\n"
                          "  database    %.1f samples per second, %.2f GiB a day, where flows pass two points\n",
                          p->memory_mib, p->log_gib_per_day, p->samples_per_s, p->database_gib_per_day);
}

void
owd_profile_plan_json (const OwdProfilePlan *p, GString *out)
{
  const struct {
    const char *name;
    double value;
  } fields[] = {
    { "exporters", p->exporters },
    { "exporters_unknown", p->unknown },
    { "records_per_s", p->records_per_s },
    { "peak_records_per_s", p->peak_records_per_s },
    { "wished_horizon_s", p->wished_horizon_s },
    { "horizon_s", p->horizon_s },
    { "correlator_memory_mib", p->memory_mib },
    { "log_gib_per_day", p->log_gib_per_day },
    { "samples_per_s", p->samples_per_s },
    { "database_gib_per_day", p->database_gib_per_day },
  };
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    g_string_append_printf (out, "%s\"%s\":%s", i == 0 ? "{" : ",", fields[i].name,
                            g_ascii_formatd (text, sizeof text, "%.6g", fields[i].value));
  g_string_append_c (out, '}');
}
