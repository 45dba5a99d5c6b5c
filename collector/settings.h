/* SPDX-License-Identifier: Apache-2.0
 *
 * What of the collector's settings may change while it runs: made whole from a configuration, immutable, shared by the
 * workers, and replaced whole. Each of them takes the new ones between two turns, so no record is judged by a mixture.
 */
#ifndef OWD_SETTINGS_H
#define OWD_SETTINGS_H

#include "geo.h"
#include "owd-config.h"
#include "owd-decoder.h"
#include "owd-stream.h"

typedef struct {
  OwdConfig *config;      /* referenced; allow lies in it */
  const OwdPrefix *allow; /* n_allow of them; 0: everybody */
  guint n_allow;
  OwdDecoderLimits decoder;
  OwdStreamLimits streams; /* of one worker */
  OwdTlsContext *tls;      /* NULL: no certificate is told */
  OwdGeo *geo;             /* NULL: no database is told, or none is usable */
} OwdSettings;

/* From the command line; what is not NULL goes before the configuration. */
typedef struct {
  const char *tls_cert, *tls_key, *tls_ca;
} OwdSettingsOverrides;

/* Returns: (transfer full), reference-counted, without geo, or NULL and OWD_ERROR_CONFIG. overrides: borrowed for the
 * call. workers: how many share the limits of connections. */
OwdSettings *owd_settings_new (OwdConfig *config, const OwdSettingsOverrides *overrides, guint workers,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same with other databases. geo: referenced; NULL: none. Returns: (transfer full). */
OwdSettings *owd_settings_with_geo (const OwdSettings *self, OwdGeo *geo) G_GNUC_WARN_UNUSED_RESULT;
OwdSettings *owd_settings_ref (OwdSettings *self);
void owd_settings_unref (OwdSettings *self); /* NULL is fine */
/* Of the databases that the configuration names; NULL: none. before: (transfer full) the one until now, or NULL; goes
 * on where the names are the same. Returns: (transfer full). */
OwdGeoWatch *owd_settings_geo_watch (const OwdConfig *config, OwdGeoWatch *before);
/* For a decoder without sockets. */
OwdDecoderLimits owd_settings_decoder_limits (const OwdConfig *config);
/* Which settings of the collector and its log differ from those of the start, but count from the next one on only:
 * "[collector] listen, [log] directory". Returns: (transfer full), or NULL: none. */
char *owd_settings_waiting (const OwdConfig *started, const OwdConfig *now);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdSettings, owd_settings_unref)

#endif
