/* SPDX-License-Identifier: Apache-2.0
 *
 * Autonomous system and country of an address, from databases in MaxMind's format. The only user of libmaxminddb.
 *
 * Two objects: OwdGeo, both databases as they were at one time, immutable, for any thread; and OwdGeoWatch, which one
 * thread has, and which makes a new OwdGeo when a file has changed. What it says is about the databases alone: they are
 * optional, so nothing fails for want of them.
 */
#ifndef OWD_GEO_H
#define OWD_GEO_H

#include "owd-flow.h"

G_BEGIN_DECLS

/* How often it is worth to look whether a file has changed. */
#define OWD_GEO_LOOK_US (10 * G_TIME_SPAN_SECOND)

typedef struct {
  guint32 asn;     /* 0: not known */
  char country[3]; /* ISO 3166-1, two letters; "": not known */
} OwdPlace;

typedef struct OwdGeo OwdGeo;

OwdGeo *owd_geo_ref (OwdGeo *self);
void owd_geo_unref (OwdGeo *self); /* NULL is fine */
void owd_geo_lookup (const OwdGeo *self, const OwdAddr *addr, OwdPlace *ret_place);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdGeo, owd_geo_unref)

typedef struct OwdGeoWatch OwdGeoWatch;

/* Paths, "" for none. NULL where both are "". Nothing is read yet. */
OwdGeoWatch *owd_geo_watch_new (const char *asn_path, const char *country_path);
/* self (transfer full, or NULL) where it is of these paths, else a new one in its place. Returns: as _new. */
OwdGeoWatch *owd_geo_watch_move (OwdGeoWatch *self, const char *asn_path, const char *country_path);
/* Reads what is new or has changed. A file that cannot be used is named in one line, and what was there before stays.
 * Returns whether owd_geo_watch_get() gives something else now. */
gboolean owd_geo_watch_look (OwdGeoWatch *self);
/* (transfer none) NULL: nothing was usable so far. */
OwdGeo *owd_geo_watch_get (const OwdGeoWatch *self);
void owd_geo_watch_free (OwdGeoWatch *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdGeoWatch, owd_geo_watch_free)

G_END_DECLS

#endif
