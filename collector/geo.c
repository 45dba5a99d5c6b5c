/* SPDX-License-Identifier: Apache-2.0
 *
 * The library maps the file that it opens. Somebody who writes a new database over an old one cuts that file off first,
 * and the next look-up would die of it (SIGBUS). So a file is copied into memory that has no name, and the library maps
 * that: whatever happens to the file, rename or not, we notice it and are not harmed.
 *
 * The library finds damage when it walks into it. So a new database is walked through, once and whole, before it is
 * used: a second or so for the largest ones, of a thread that has nothing else to do.
 *
 * A file that changed less than SETTLE_NS ago may still be written to, and waits for the next look.
 *
 * References: MaxMind DB file format 2.0, memfd_create(2).
 */
#include "geo.h"

#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (2 * G_GINT64_CONSTANT (1073741824))
#define SETTLE_NS (2 * OWD_NS_PER_S)

static const char *const ASN_PATH[] = { "autonomous_system_number", NULL };
static const char *const COUNTRY_PATH[] = { "country", "iso_code", NULL };

/* ---- one database ------------------------------------------------------------------------------ */

typedef struct {
  MMDB_s mmdb;
} Database;

static void
clear_database (gpointer data)
{
  Database *self = data;

  MMDB_close (&self->mmdb);
}

static void
database_unref (Database *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, clear_database);
}

static Database *
database_ref (Database *self)
{
  return self != NULL ? g_atomic_rc_box_acquire (self) : NULL;
}

static gboolean
fail (GError **error, const char *what)
{
  g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CORRUPT, what);
  return FALSE;
}

/* What is told at the end of path; has_data is false where that is nothing. Returns the library's status. */
static int
get_value (MMDB_entry_s *entry, const char *const *path, MMDB_entry_data_s *ret_data)
{
  int status = MMDB_aget_value (entry, ret_data, path);

  if (status != MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR && status != MMDB_INVALID_LOOKUP_PATH_ERROR)
    return status;
  ret_data->has_data = FALSE;
  return MMDB_SUCCESS;
}

static int
look_up (const Database *self, const OwdAddr *addr, const char *const *path, MMDB_entry_data_s *ret_data)
{
  struct sockaddr_in v4 = { .sin_family = AF_INET };
  struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
  MMDB_lookup_result_s found;
  int status;

  ret_data->has_data = FALSE;
  memcpy (&v4.sin_addr, addr->b + 12, sizeof v4.sin_addr);
  memcpy (&v6.sin6_addr, addr->b, sizeof v6.sin6_addr);
  found = MMDB_lookup_sockaddr (
      &self->mmdb, owd_addr_is_v4 (addr) ? (const struct sockaddr *) &v4 : (const struct sockaddr *) &v6, &status);
  if (status != MMDB_SUCCESS || !found.found_entry)
    return status;
  return get_value (&found.entry, path, ret_data);
}

/* One of the two ways on from a node. */
static int
check_way (guint8 type, MMDB_entry_s *entry, const char *const *path)
{
  MMDB_entry_data_s data;

  if (type == MMDB_RECORD_TYPE_INVALID)
    return MMDB_CORRUPT_SEARCH_TREE_ERROR;
  return type == MMDB_RECORD_TYPE_DATA ? get_value (entry, path, &data) : MMDB_SUCCESS;
}

static gboolean
check_tree (const Database *self, const char *const *path, GError **error)
{
  int status = MMDB_SUCCESS;

  for (guint32 i = 0; i < self->mmdb.metadata.node_count && status == MMDB_SUCCESS; i++) {
    MMDB_search_node_s node;

    status = MMDB_read_node (&self->mmdb, i, &node);
    if (status == MMDB_SUCCESS)
      status = check_way (node.left_record_type, &node.left_record_entry, path);
    if (status == MMDB_SUCCESS)
      status = check_way (node.right_record_type, &node.right_record_entry, path);
  }
  return status == MMDB_SUCCESS ? TRUE : fail (error, MMDB_strerror (status));
}

static gboolean
copy (int from, int to, GError **error)
{
  for (;;) {
    gssize n = sendfile (to, from, NULL, 1 << 20);

    if (n == 0)
      return TRUE;
    if (n < 0 && errno != EINTR)
      return fail (error, g_strerror (errno));
  }
}

static Database *
open_copy (int fd, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  Database *self = g_atomic_rc_box_new0 (Database);
  int status = MMDB_open (path, MMDB_MODE_MMAP, &self->mmdb);

  if (status == MMDB_SUCCESS)
    return self;
  g_atomic_rc_box_release (self);
  fail (error, status == MMDB_IO_ERROR ? g_strerror (errno) : MMDB_strerror (status));
  return NULL;
}

/* Returns: (transfer full), or NULL and why not. */
static Database *
database_new (const char *file, const char *const *path, GError **error)
{
  int from = open (file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), to = memfd_create ("geo", MFD_CLOEXEC);
  Database *self = NULL;
  struct stat st;

  if (from < 0 || to < 0 || fstat (from, &st) != 0)
    fail (error, g_strerror (errno));
  else if (!S_ISREG (st.st_mode) || st.st_size > FILE_MAX)
    fail (error, "no regular file, or larger than 2 GiB");
  else if (copy (from, to, error))
    self = open_copy (to, error);
  if (self != NULL && !check_tree (self, path, error))
    g_clear_pointer (&self, database_unref);
  if (from >= 0)
    close (from);
  if (to >= 0)
    close (to);
  return self;
}

/* ---- both databases ---------------------------------------------------------------------------- */

struct OwdGeo {
  Database *asn, *country; /* NULL: none */
};

OwdGeo *
owd_geo_ref (OwdGeo *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear_geo (gpointer data)
{
  OwdGeo *self = data;

  database_unref (self->asn);
  database_unref (self->country);
}

void
owd_geo_unref (OwdGeo *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, clear_geo);
}

void
owd_geo_lookup (const OwdGeo *self, const OwdAddr *addr, OwdPlace *ret_place)
{
  MMDB_entry_data_s data;

  *ret_place = (OwdPlace){ 0 };
  if (self->asn != NULL && look_up (self->asn, addr, ASN_PATH, &data) == MMDB_SUCCESS && data.has_data
      && data.type == MMDB_DATA_TYPE_UINT32)
    ret_place->asn = data.uint32;
  if (self->country != NULL && look_up (self->country, addr, COUNTRY_PATH, &data) == MMDB_SUCCESS && data.has_data
      && data.type == MMDB_DATA_TYPE_UTF8_STRING && data.data_size == 2 && g_ascii_isupper (data.utf8_string[0])
      && g_ascii_isupper (data.utf8_string[1]))
    memcpy (ret_place->country, data.utf8_string, 2);
}

/* ---- watch ------------------------------------------------------------------------------------- */

/* What tells one state of a file from another; all zero: no file. */
typedef struct {
  dev_t device;
  ino_t inode;
  off_t size;
  gint64 changed_ns;
} Identity;

typedef struct {
  char *path;              /* NULL: none */
  const char *const *data; /* path to the value in the database */
  gboolean looked;
  Identity tried; /* when it was read last, or could not be */
} File;

struct OwdGeoWatch {
  File asn, country;
  OwdGeo *geo;
};

static Identity
identify (const char *path)
{
  struct stat st;

  if (stat (path, &st) != 0)
    return (Identity){ 0 };
  return (Identity){ .device = st.st_dev,
                     .inode = st.st_ino,
                     .size = st.st_size,
                     .changed_ns = (gint64) st.st_mtim.tv_sec * OWD_NS_PER_S + st.st_mtim.tv_nsec };
}

static gboolean
same_identity (const Identity *a, const Identity *b)
{
  return a->device == b->device && a->inode == b->inode && a->size == b->size && a->changed_ns == b->changed_ns;
}

/* Returns: (transfer full) the database as it is now, or NULL: nothing new. */
static Database *
look_at (File *file, gboolean has_one)
{
  g_autoptr (GError) error = NULL;
  Identity now;
  Database *database;
  gboolean is_first = !file->looked;

  if (file->path == NULL)
    return NULL;
  now = identify (file->path);
  if (!is_first && same_identity (&now, &file->tried))
    return NULL;
  if (!is_first && ABS (g_get_real_time () * OWD_NS_PER_US - now.changed_ns) < SETTLE_NS)
    return NULL;
  file->looked = TRUE;
  file->tried = now;
  database = database_new (file->path, file->data, &error);
  if (database == NULL)
    g_warning ("%s: %s; %s", file->path, error->message,
               has_one ? "what it said before still counts" : "going on without it until it changes");
  else if (!is_first)
    g_message ("%s: read again", file->path);
  return database;
}

OwdGeoWatch *
owd_geo_watch_new (const char *asn_path, const char *country_path)
{
  OwdGeoWatch *self;

  if (*asn_path == '\0' && *country_path == '\0')
    return NULL;
  self = g_new0 (OwdGeoWatch, 1);
  self->asn = (File){ .path = *asn_path != '\0' ? g_strdup (asn_path) : NULL, .data = ASN_PATH };
  self->country = (File){ .path = *country_path != '\0' ? g_strdup (country_path) : NULL, .data = COUNTRY_PATH };
  return self;
}

static gboolean
has_path (const File *file, const char *path)
{
  return g_strcmp0 (file->path != NULL ? file->path : "", path) == 0;
}

OwdGeoWatch *
owd_geo_watch_move (OwdGeoWatch *self, const char *asn_path, const char *country_path)
{
  if (self != NULL && has_path (&self->asn, asn_path) && has_path (&self->country, country_path))
    return self;
  owd_geo_watch_free (self);
  return owd_geo_watch_new (asn_path, country_path);
}

gboolean
owd_geo_watch_look (OwdGeoWatch *self)
{
  OwdGeo *before = self->geo;
  Database *asn = look_at (&self->asn, before != NULL && before->asn != NULL);
  Database *country = look_at (&self->country, before != NULL && before->country != NULL);

  if (asn == NULL && country == NULL)
    return FALSE;
  self->geo = g_atomic_rc_box_new0 (OwdGeo);
  self->geo->asn = asn != NULL || before == NULL ? asn : database_ref (before->asn);
  self->geo->country = country != NULL || before == NULL ? country : database_ref (before->country);
  owd_geo_unref (before);
  return TRUE;
}

OwdGeo *
owd_geo_watch_get (const OwdGeoWatch *self)
{
  return self->geo;
}

void
owd_geo_watch_free (OwdGeoWatch *self)
{
  if (self == NULL)
    return;
  owd_geo_unref (self->geo);
  g_free (self->asn.path);
  g_free (self->country.path);
  g_free (self);
}
