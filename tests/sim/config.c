/* SPDX-License-Identifier: Apache-2.0
 *
 * Configurations: defaults, and what a run cannot work with.
 */
#include "internal.h"

OwdSimConfig *
owd_sim_config_new (guint64 seed)
{
  OwdSimConfig *config = g_new0 (OwdSimConfig, 1);

  config->seed = seed;
  config->start_ns = G_GINT64_CONSTANT (1767571200) * OWD_NS_PER_S; /* 2026-01-05T00:00:00Z */
  config->duration_ns = 600 * OWD_NS_PER_S;
  config->exporters = g_array_new (FALSE, TRUE, sizeof (OwdSimExporter));
  config->routes = g_array_new (FALSE, TRUE, sizeof (OwdSimRoute));
  config->mix[OWD_SIM_WEB] = 55;
  config->mix[OWD_SIM_LONG] = 6;
  config->mix[OWD_SIM_REFUSED] = 3;
  config->mix[OWD_SIM_SILENT] = 2;
  config->mix[OWD_SIM_QUERY] = 28;
  config->mix[OWD_SIM_STREAM] = 6;
  return config;
}

void
owd_sim_config_free (OwdSimConfig *config)
{
  if (config == NULL)
    return;
  g_array_unref (config->exporters);
  g_array_unref (config->routes);
  g_free (config);
}

static gint64
finest_step (OwdStampKind stamps)
{
  switch (stamps) {
  case OWD_STAMP_UNIX_S:
    return OWD_NS_PER_S;
  case OWD_STAMP_UPTIME_MS:
  case OWD_STAMP_UNIX_MS:
    return OWD_NS_PER_MS;
  default:
    return OWD_NS_PER_US;
  }
}

OwdSimExporter
owd_sim_exporter (guint index, guint version, OwdStampKind stamps)
{
  gint64 step = finest_step (stamps);
  guint8 v4[4] = { 198, (guint8) (18 + index / 62500), (guint8) (index / 250 % 250), (guint8) (1 + index % 250) };
  OwdSimExporter ex = {
    .domain = version == 5 ? 0 : 1,
    .version = version,
    .engines = 1,
    .stamps = stamps,
    .step_ns = { step, step },
    .n_interfaces = 1,
    .up_before_ns = 3 * DAY_NS,
    .uptime_step_ns = OWD_NS_PER_MS,
    .active_ns = 60 * OWD_NS_PER_S,
    .inactive_ns = 15 * OWD_NS_PER_S,
    .fin_ns = 2 * OWD_NS_PER_S,
    .sampling = 1,
    .max_records = version == 5 ? 30 : 20,
    .tick_ns = 1001 * OWD_NS_PER_MS,
    .tick_jitter_ns = 2 * OWD_NS_PER_MS,
    .template_ns = 60 * OWD_NS_PER_S,
    .transport_ns = 2 * OWD_NS_PER_MS,
    .transport_jitter_ns = 300 * OWD_NS_PER_US,
  };

  owd_addr_set_v4 (&ex.addr, v4);
  return ex;
}

static const char *
exporter_fault (const OwdSimExporter *ex, guint index, guint n)
{
  gboolean uptime = ex->stamps == OWD_STAMP_UPTIME_MS;

  if (ex->version != 5 && ex->version != 9 && ex->version != 10)
    return "version is not 5, 9 or 10";
  if (ex->version == 5 && (!uptime || ex->wide_uptime || ex->domain > 0xffff || ex->sampling > 0x3fff))
    return "v5 has 4-byte uptime stamps, 16 bits of domain and 14 of sampling";
  if (ex->stamps < OWD_STAMP_UPTIME_MS || ex->stamps > OWD_STAMP_DELTA_US)
    return "no such stamps";
  if (ex->egress_too && ex->version == 5)
    return "v5 has no direction";
  if (ex->biflow && (ex->version != 10 || ex->engines != 1 || ex->nat_fields || ex->egress_too))
    return "biflows are for IPFIX, one engine, no NAT, one record per flow";
  if (ex->wide_uptime && !uptime)
    return "wide_uptime without uptime stamps";
  if (ex->step_ns[0] < 1 || ex->step_ns[1] < 1 || ex->uptime_step_ns < OWD_NS_PER_MS)
    return "steps are missing";
  if (uptime && (ex->step_ns[0] % OWD_NS_PER_MS != 0 || ex->step_ns[1] % OWD_NS_PER_MS != 0))
    return "steps of uptime stamps are whole ms";
  if (ex->engines < 1 || ex->engines > n - index || ex->sampling < 1)
    return "engines or sampling out of range";
  if (ex->n_cards > OWD_SIM_CARDS || ex->n_rtc > OWD_SIM_SHIFTS || ex->n_reboots > OWD_SIM_REBOOTS)
    return "more cards, shifts or reboots than there is room for";
  if (ex->max_records < 1 || ex->max_records > 30 || ex->tick_ns < 1 || ex->template_ns < 1)
    return "max_records, tick or template interval out of range";
  if (ex->active_ns < 1 || ex->inactive_ns < 1)
    return "timeouts are missing";
  return NULL;
}

static const char *
route_fault (const OwdSimRoute *route, const OwdSimConfig *config)
{
  if (route->n < 1 || route->n > OWD_SIM_HOPS)
    return "a route has 1 to 8 points";
  for (guint i = 0; i < route->n; i++) {
    if (route->points[i] >= config->exporters->len)
      return "a route names an exporter that is not there";
    if (route->hops[i].n_changes > OWD_SIM_SHIFTS)
      return "more route changes than there is room for";
  }
  if (route->back >= (int) config->routes->len || route->nat_at >= (int) route->n)
    return "a route's way back or NAT is not there";
  return NULL;
}

const char *
owd_sim_config_fault (const OwdSimConfig *config)
{
  const char *fault = NULL;

  if (config->exporters->len == 0 || config->routes->len == 0)
    return "no exporters or no routes";
  for (guint i = 0; i < config->exporters->len && fault == NULL; i++)
    fault = exporter_fault (&g_array_index (config->exporters, OwdSimExporter, i), i, config->exporters->len);
  for (guint i = 0; i < config->routes->len && fault == NULL; i++)
    fault = route_fault (&g_array_index (config->routes, OwdSimRoute, i), config);
  return fault;
}
