/* SPDX-License-Identifier: Apache-2.0
 *
 * See settings.h. Files that settings name are read here too, so a reload with an unreadable one changes nothing.
 */
#include "settings.h"

OwdDecoderLimits
owd_settings_decoder_limits (const OwdConfig *config)
{
  return (OwdDecoderLimits){
    .max_states = (guint) owd_config_int (config, "collector", "max-exporters"),
    .max_templates = (guint) owd_config_int (config, "collector", "max-templates"),
    .max_bytes = owd_config_size (config, "collector", "max-memory"),
    .template_timeout_ns = (guint64) owd_config_duration_ns (config, "collector", "template-timeout"),
  };
}

/* Connections are shared out evenly; all of one address come to the same worker. */
static OwdStreamLimits
stream_limits (const OwdConfig *config, guint workers)
{
  guint connections = (guint) owd_config_int (config, "collector", "max-connections");

  return (OwdStreamLimits){
    .max_connections = (connections + workers - 1) / workers,
    .max_per_address = (guint) owd_config_int (config, "collector", "max-connections-per-address"),
    .idle_ns = owd_config_duration_ns (config, "collector", "connection-timeout"),
    .handshake_ns = owd_config_duration_ns (config, "collector", "tls-handshake-timeout"),
  };
}

static const char *
choose (const char *override, const OwdConfig *config, const char *key)
{
  return override != NULL ? override : owd_config_string (config, "collector", key);
}

static gboolean
load_tls (OwdSettings *self, const OwdSettingsOverrides *overrides, GError **error)
{
  const OwdTlsFiles files = { .cert = choose (overrides->tls_cert, self->config, "tls-cert"),
                              .key = choose (overrides->tls_key, self->config, "tls-key"),
                              .ca = choose (overrides->tls_ca, self->config, "tls-ca"),
                              .peers = owd_config_list (self->config, "collector", "tls-peers") };

  if (*files.cert == '\0' && *files.key == '\0' && *files.ca == '\0')
    return TRUE;
  if (*files.cert == '\0' || *files.key == '\0') {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s is set, but not %s: TLS needs tls-cert and tls-key",
                 *files.cert != '\0'  ? "tls-cert"
                 : *files.key != '\0' ? "tls-key"
                                      : "tls-ca",
                 *files.cert == '\0' ? "tls-cert" : "tls-key");
    return FALSE;
  }
  self->tls = owd_tls_context_new (&files, error);
  return self->tls != NULL;
}

OwdSettings *
owd_settings_new (OwdConfig *config, const OwdSettingsOverrides *overrides, guint workers, GError **error)
{
  g_autoptr (OwdSettings) self = g_atomic_rc_box_new0 (OwdSettings);

  self->config = owd_config_ref (config);
  self->allow = owd_config_prefixes (config, "collector", "allow", &self->n_allow);
  self->decoder = owd_settings_decoder_limits (config);
  self->decoder.max_bytes /= workers;
  self->streams = stream_limits (config, workers);
  return load_tls (self, overrides, error) ? g_steal_pointer (&self) : NULL;
}

OwdSettings *
owd_settings_with_geo (const OwdSettings *self, OwdGeo *geo)
{
  OwdSettings *other = g_atomic_rc_box_new0 (OwdSettings);

  *other = *self;
  (void) owd_config_ref (other->config);
  if (other->tls != NULL)
    (void) owd_tls_context_ref (other->tls);
  other->geo = geo != NULL ? owd_geo_ref (geo) : NULL;
  return other;
}

OwdGeoWatch *
owd_settings_geo_watch (const OwdConfig *config, OwdGeoWatch *before)
{
  return owd_geo_watch_move (before, owd_config_string (config, "collector", "asn-database"),
                             owd_config_string (config, "collector", "country-database"));
}

OwdSettings *
owd_settings_ref (OwdSettings *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear_settings (gpointer data)
{
  OwdSettings *self = data;

  owd_geo_unref (self->geo);
  owd_tls_context_unref (self->tls);
  owd_config_unref (self->config);
}

void
owd_settings_unref (OwdSettings *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, clear_settings);
}

char *
owd_settings_waiting (const OwdConfig *started, const OwdConfig *now)
{
  static const struct {
    const char *section, *key;
  } fixed[] = {
    { "collector", "listen" },  { "collector", "user" },    { "collector", "receive-buffer" },
    { "collector", "workers" }, { "collector", "metrics" }, { "log", "directory" },
    { "log", "partitions" },    { "log", "block-size" },    { "log", "segment-size" },
  };
  g_autoptr (GString) list = g_string_new (NULL);

  for (gsize k = 0; k < G_N_ELEMENTS (fixed); k++)
    if (!owd_config_same (started, now, fixed[k].section, fixed[k].key))
      g_string_append_printf (list, "%s[%s] %s", list->len > 0 ? ", " : "", fixed[k].section, fixed[k].key);
  return list->len > 0 ? g_string_free (g_steal_pointer (&list), FALSE) : NULL;
}
