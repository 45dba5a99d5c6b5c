/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway.conf: one GKeyFile for all programs. One table (config.c) of section, key, type, unit, default, range and
 * help feeds the parser, --check-config, --print-config and the man page. The result is read-only; a reload makes a
 * new one and swaps it whole. Order of precedence: ONEWAY_SECTION_KEY in the environment ('-' becomes '_'), the file,
 * the default. An empty file works.
 *
 *   [log] [collector] [correlator] [profiler] [database] [probe] [events] [exporter NAME] [test NAME] [targets NAME]
 */
#ifndef OWD_CONFIG_H
#define OWD_CONFIG_H

#include "owd-flow.h"

G_BEGIN_DECLS

typedef struct OwdConfig OwdConfig;

/* path: NULL looks for /etc/oneway/oneway.conf and takes the defaults where there is none. Unknown sections and keys,
 * wrong types and values out of range are OWD_ERROR_CONFIG; the message names file, section, key, what is wrong and
 * what is allowed; all faults of the file are in the one message, a line each. */
OwdConfig *owd_config_load (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A new configuration from where this one came from. */
OwdConfig *owd_config_reload (const OwdConfig *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
OwdConfig *owd_config_ref (OwdConfig *self);
void owd_config_unref (OwdConfig *self); /* NULL is fine */

/* section and key must be in the table with this type: anything else is a defect of the caller (g_error). */
gint64 owd_config_int (const OwdConfig *self, const char *section, const char *key);
gboolean owd_config_bool (const OwdConfig *self, const char *section, const char *key);
double owd_config_double (const OwdConfig *self, const char *section, const char *key);
/* Whether a setting of any type is written alike in both. */
gboolean owd_config_same (const OwdConfig *a, const OwdConfig *b, const char *section,
                          const char *key) G_GNUC_WARN_UNUSED_RESULT;
/* Durations are written with a unit ("200ms", "30 s", "7d"); sizes likewise ("64 MiB"). */
gint64 owd_config_duration_ns (const OwdConfig *self, const char *section, const char *key);
guint64 owd_config_size (const OwdConfig *self, const char *section, const char *key);
/* Returns: (transfer none), "" for an empty default. */
const char *owd_config_string (const OwdConfig *self, const char *section, const char *key);
/* Returns: (transfer none) NULL-terminated; a list is separated by ';'. */
const char *const *owd_config_list (const OwdConfig *self, const char *section, const char *key);
/* Returns: (transfer none) *ret_n of them; for owd_prefix_list_allows(). */
const OwdPrefix *owd_config_prefixes (const OwdConfig *self, const char *section, const char *key, guint *ret_n);

/* [exporter NAME]: one section per observation point. */
typedef struct {
  const char *name;
  OwdAddr addr;
  gint64 domain;        /* -1: every domain of the address */
  gboolean ntp_trusted; /* its clock may serve as anchor; default TRUE */
  gboolean has_site;
  double latitude, longitude; /* degrees */
} OwdConfigExporter;

guint owd_config_n_exporters (const OwdConfig *self);
const OwdConfigExporter *owd_config_exporter (const OwdConfig *self, guint i);
/* Name of an observation point: the section that has this address and domain, else one with the address and no domain,
 * else NULL. */
const char *owd_config_exporter_name (const OwdConfig *self, const OwdAddr *addr, guint32 domain);
/* What light takes in fibre between the sites of two of them (owd-light.h), in ns; 0: one is not configured. */
gint64 owd_config_floor_ns (const OwdConfig *self, const OwdStateKey *a, const OwdStateKey *b);
/* What all programs call an observation point: configured name, else address; with its domain where the exporter has
 * several that differ, with its version where even the domain does not tell two states apart. states: a table whose
 * keys are the OwdStateKeys known, key among them; the name is a function of that set. Returns: (transfer full). */
char *owd_config_point_name (const OwdConfig *self, const OwdStateKey *key, GHashTable *states);

/* Sections with a name of the user's, kind "test" or "targets": [test NAME], [targets NAME]. Their references have been
 * checked. Returns: (transfer none) the name of the n-th of its kind, in the file's order; NULL behind the last. */
const char *owd_config_named (const OwdConfig *self, const char *kind, guint n);
gint64 owd_config_named_int (const OwdConfig *self, const char *kind, const char *name, const char *key);
gboolean owd_config_named_bool (const OwdConfig *self, const char *kind, const char *name, const char *key);
gint64 owd_config_named_duration_ns (const OwdConfig *self, const char *kind, const char *name, const char *key);
const char *owd_config_named_string (const OwdConfig *self, const char *kind, const char *name, const char *key);
const char *const *owd_config_named_list (const OwdConfig *self, const char *kind, const char *name, const char *key);

/* The effective settings in the file's own syntax, with unit, range and help as comments. Secrets are left out. */
char *owd_config_print (const OwdConfig *self);
/* The table as man page source (mdoc list items); used by the build. */
char *owd_config_man (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdConfig, owd_config_unref)

G_END_DECLS

#endif
