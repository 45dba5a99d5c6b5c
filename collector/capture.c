/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks pcap and pcapng.
 *
 * One window over the input: need() makes n bytes visible at the read position, skip() passes over any number of
 * them. A packet's data is handed out inside the window, without a copy. Nothing in the file decides about an
 * allocation: packets are limited to OWD_CAPTURE_PACKET_MAX, interfaces to INTERFACES_MAX, and blocks that are not
 * packets are passed over whatever their length.
 *
 * Invariant: p..end lies inside the window, `offset` is the file position of p.
 *
 * References: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
 */
#include "owd-capture.h"
#include "owd-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_BYTES (1u << 20)
#define INTERFACES_MAX 65536

/* Bytes of the fixed part. */
enum {
  PCAP_FILE_HEADER = 24,
  PCAP_RECORD_HEADER = 16,
  NG_BLOCK_HEADER = 8, /* type, total length */
  NG_BLOCK_FRAME = 12, /* that and the total length again at the end */
  NG_SECTION = 16,     /* byte-order magic, version, section length */
  NG_INTERFACE = 8,    /* link type, reserved, snapshot length */
  NG_ENHANCED = 20,    /* interface, time, captured length, original length */
  NG_SIMPLE = 4,       /* original length */
};

enum {
  NG_TYPE_SECTION = 0x0a0d0d0a,
  NG_TYPE_INTERFACE = 1,
  NG_TYPE_PACKET = 2, /* obsolete, but written for years */
  NG_TYPE_SIMPLE = 3,
  NG_TYPE_ENHANCED = 6,
};

enum { NG_OPT_END = 0, NG_OPT_TSRESOL = 9, NG_OPT_TSOFFSET = 14 };

#define NG_BYTE_ORDER 0x1a2b3c4du
#define PCAP_MAGIC_US 0xa1b2c3d4u
#define PCAP_MAGIC_NS 0xa1b23c4du

typedef struct {
  guint16 link_type;
  guint8 resolution; /* as if_tsresol: high bit set 2^-n, else 10^-n seconds */
  guint32 snaplen;   /* 0: none */
  gint64 offset_s;   /* if_tsoffset */
} Interface;

typedef enum { FORMAT_PCAP, FORMAT_PCAPNG } Format;

struct OwdCapture {
  char *name;
  int fd; /* -1: in memory */
  guint8 *window;
  const guint8 *p, *end;
  guint64 offset;
  gboolean at_end; /* the input has no bytes behind `end` */
  int read_errno;  /* why not, where reading failed */
  Format format;
  gboolean big_endian;
  gint64 frac_ns;     /* pcap: nanoseconds of one unit of the fraction */
  guint link_type;    /* pcap */
  GArray *interfaces; /* pcapng: of the current section */
  guint64 skip;       /* rest of the record handed out last */
};

/* ---- the window -------------------------------------------------------------------------------- */

static gsize
visible (const OwdCapture *self)
{
  return (gsize) (self->end - self->p);
}

static void
fill (OwdCapture *self)
{
  gsize have = visible (self);

  if (self->p != self->window)
    memmove (self->window, self->p, have);
  self->p = self->window;
  while (have < WINDOW_BYTES) {
    gssize n = read (self->fd, self->window + have, WINDOW_BYTES - have);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      self->read_errno = n < 0 ? errno : 0;
      self->at_end = TRUE;
    } else {
      have += (gsize) n;
    }
    /* a pipe gives what it has: go on working with that */
    break;
  }
  self->end = self->window + have;
}

/* The next n bytes, n at most the window; NULL where the input ends before. */
static const guint8 *
need (OwdCapture *self, gsize n)
{
  while (visible (self) < n && !self->at_end)
    fill (self);
  return visible (self) < n ? NULL : self->p;
}

static gboolean
skip (OwdCapture *self, guint64 n)
{
  while (n > visible (self)) {
    n -= visible (self);
    self->offset += visible (self);
    self->p = self->end;
    if (self->at_end)
      return FALSE;
    fill (self);
  }
  self->p += n;
  self->offset += n;
  return TRUE;
}

/* ---- failures ---------------------------------------------------------------------------------- */

static OwdStatus
fail_short (OwdCapture *self, guint64 record, GError **error)
{
  if (self->read_errno != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: read error after offset %" G_GUINT64_FORMAT ": %s", self->name,
                 self->offset, g_strerror (self->read_errno));
    return OWD_STATUS_MALFORMED;
  }
  g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT,
               "%s: ends inside the record at offset %" G_GUINT64_FORMAT ": everything before it is used", self->name,
               record);
  return OWD_STATUS_SHORT;
}

static OwdStatus
fail_corrupt (OwdCapture *self, guint64 record, GError **error, const char *what, guint64 value)
{
  g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT,
               "%s: damaged at offset %" G_GUINT64_FORMAT ": %s %" G_GUINT64_FORMAT
               ": everything before it is used, nothing after it",
               self->name, record, what, value);
  return OWD_STATUS_MALFORMED;
}

/* ---- integers in the file's byte order --------------------------------------------------------- */

static guint32
get32 (const OwdCapture *self, const guint8 *p)
{
  guint32 v = owd_be32 (p);

  return self->big_endian ? v : GUINT32_SWAP_LE_BE (v);
}

static guint16
get16 (const OwdCapture *self, const guint8 *p)
{
  guint16 v = owd_be16 (p);

  return self->big_endian ? v : GUINT16_SWAP_LE_BE (v);
}

static guint64
get64 (const OwdCapture *self, const guint8 *p)
{
  guint64 v = owd_be64 (p);

  return self->big_endian ? v : GUINT64_SWAP_LE_BE (v);
}

/* ---- pcap -------------------------------------------------------------------------------------- */

static OwdStatus
next_pcap (OwdCapture *self, OwdCapturePacket *packet, GError **error)
{
  guint64 record = self->offset;
  const guint8 *h = need (self, PCAP_RECORD_HEADER);
  guint32 caplen;

  if (h == NULL)
    return visible (self) == 0 && self->read_errno == 0 ? OWD_STATUS_END : fail_short (self, record, error);
  caplen = get32 (self, h + 8);
  if (caplen > OWD_CAPTURE_PACKET_MAX)
    return fail_corrupt (self, record, error, "a packet of impossible length", caplen);
  h = need (self, PCAP_RECORD_HEADER + (gsize) caplen);
  if (h == NULL)
    return fail_short (self, record, error);
  *packet = (OwdCapturePacket){
    .time_ns = (gint64) get32 (self, h) * OWD_NS_PER_S + (gint64) get32 (self, h + 4) * self->frac_ns,
    .link_type = self->link_type,
    .data = h + PCAP_RECORD_HEADER,
    .caplen = caplen,
    .wirelen = MAX (get32 (self, h + 12), caplen),
    .offset = record,
  };
  self->skip = PCAP_RECORD_HEADER + (guint64) caplen;
  return OWD_STATUS_OK;
}

static gboolean
open_pcap (OwdCapture *self, const guint8 *h)
{
  guint32 be = owd_be32 (h), le = GUINT32_SWAP_LE_BE (be), magic;

  self->big_endian = be == PCAP_MAGIC_US || be == PCAP_MAGIC_NS;
  magic = self->big_endian ? be : le;
  if (magic != PCAP_MAGIC_US && magic != PCAP_MAGIC_NS)
    return FALSE;
  self->format = FORMAT_PCAP;
  self->frac_ns = magic == PCAP_MAGIC_NS ? 1 : OWD_NS_PER_US;
  self->link_type = get32 (self, h + 20) & 0xffff; /* above: length of the frame check sequence */
  self->skip = PCAP_FILE_HEADER;
  return TRUE;
}

/* ---- pcapng ------------------------------------------------------------------------------------ */

/* Absolute time of a 64-bit count of an interface's units; OWD_TIME_NONE beyond the year 2262. */
static OwdTime
interface_time (const Interface *interface, guint64 ticks)
{
  unsigned __int128 ns = ticks;
  guint n = interface->resolution & 0x7f;
  gint64 offset_ns, t;

  if (interface->resolution & 0x80) {
    ns = ns * OWD_NS_PER_S >> n;
  } else {
    for (guint i = n; i < 9; i++)
      ns *= 10;
    for (guint i = 9; i < n; i++)
      ns /= 10;
  }
  if (ns > G_MAXINT64 || __builtin_mul_overflow (interface->offset_s, OWD_NS_PER_S, &offset_ns)
      || __builtin_add_overflow ((gint64) ns, offset_ns, &t))
    return OWD_TIME_NONE;
  return t;
}

static void
read_interface_options (const OwdCapture *self, Interface *interface, OwdWire w)
{
  while (owd_wire_left (&w) >= 4) {
    const guint8 *h = owd_wire_take (&w, 4);
    guint code = get16 (self, h), len = get16 (self, h + 2);
    const guint8 *value = owd_wire_take (&w, len);

    if (code == NG_OPT_END || value == NULL)
      break;
    if (code == NG_OPT_TSRESOL && len == 1)
      interface->resolution = value[0];
    else if (code == NG_OPT_TSOFFSET && len == 8)
      interface->offset_s = (gint64) get64 (self, value);
    (void) owd_wire_take (&w, (4 - len % 4) % 4);
  }
}

static OwdStatus
read_interface (OwdCapture *self, guint32 total, GError **error)
{
  guint64 record = self->offset;
  Interface interface = { .resolution = 6 };
  const guint8 *h;

  if (total < NG_BLOCK_FRAME + NG_INTERFACE || total > OWD_CAPTURE_PACKET_MAX)
    return fail_corrupt (self, record, error, "an interface block of length", total);
  if (self->interfaces->len == INTERFACES_MAX)
    return fail_corrupt (self, record, error, "more interfaces than", INTERFACES_MAX);
  h = need (self, total);
  if (h == NULL)
    return fail_short (self, record, error);
  interface.link_type = get16 (self, h + NG_BLOCK_HEADER);
  interface.snaplen = get32 (self, h + NG_BLOCK_HEADER + 4);
  read_interface_options (self, &interface,
                          owd_wire (h + NG_BLOCK_HEADER + NG_INTERFACE, total - NG_BLOCK_FRAME - NG_INTERFACE));
  g_array_append_val (self->interfaces, interface);
  return OWD_STATUS_OK;
}

static OwdStatus
read_section (OwdCapture *self, GError **error)
{
  guint64 record = self->offset;
  const guint8 *h = need (self, NG_BLOCK_HEADER + NG_SECTION);
  guint32 total;

  if (h == NULL)
    return fail_short (self, record, error);
  self->big_endian = owd_be32 (h + NG_BLOCK_HEADER) == NG_BYTE_ORDER;
  if (get32 (self, h + NG_BLOCK_HEADER) != NG_BYTE_ORDER)
    return fail_corrupt (self, record, error, "a section with byte-order magic", owd_be32 (h + NG_BLOCK_HEADER));
  if (get16 (self, h + NG_BLOCK_HEADER + 4) != 1)
    return fail_corrupt (self, record, error, "a section of version", get16 (self, h + NG_BLOCK_HEADER + 4));
  total = get32 (self, h + 4);
  if (total < NG_BLOCK_FRAME + NG_SECTION || total % 4 != 0)
    return fail_corrupt (self, record, error, "a section header of length", total);
  g_array_set_size (self->interfaces, 0);
  self->skip = total;
  return OWD_STATUS_OK;
}

/* Fills the packet from the three kinds of packet block. fixed: bytes between the block header and the data. */
static OwdStatus
read_packet (OwdCapture *self, guint32 type, guint32 total, OwdCapturePacket *packet, GError **error)
{
  guint64 record = self->offset;
  guint fixed = type == NG_TYPE_SIMPLE ? NG_SIMPLE : NG_ENHANCED;
  const guint8 *h, *f;
  guint32 caplen, wirelen, id;
  const Interface *interface;

  if (total < NG_BLOCK_FRAME + fixed)
    return fail_corrupt (self, record, error, "a packet block of length", total);
  h = need (self, NG_BLOCK_HEADER + fixed);
  if (h == NULL)
    return fail_short (self, record, error);
  f = h + NG_BLOCK_HEADER;
  id = type == NG_TYPE_ENHANCED ? get32 (self, f) : type == NG_TYPE_PACKET ? get16 (self, f) : 0;
  if (id >= self->interfaces->len)
    return fail_corrupt (self, record, error, "a packet of undescribed interface", id);
  interface = &g_array_index (self->interfaces, Interface, id);
  if (type == NG_TYPE_SIMPLE) {
    wirelen = get32 (self, f);
    caplen = MIN (wirelen, total - NG_BLOCK_FRAME - fixed);
    if (interface->snaplen != 0)
      caplen = MIN (caplen, interface->snaplen);
  } else {
    caplen = get32 (self, f + 12);
    wirelen = get32 (self, f + 16);
  }
  if (caplen > total - NG_BLOCK_FRAME - fixed || caplen > OWD_CAPTURE_PACKET_MAX)
    return fail_corrupt (self, record, error, "a packet of impossible length", caplen);
  h = need (self, NG_BLOCK_HEADER + fixed + (gsize) caplen);
  if (h == NULL)
    return fail_short (self, record, error);
  f = h + NG_BLOCK_HEADER;
  *packet = (OwdCapturePacket){
    .time_ns = type == NG_TYPE_SIMPLE
                   ? OWD_TIME_NONE
                   : interface_time (interface, (guint64) get32 (self, f + 4) << 32 | get32 (self, f + 8)),
    .link_type = interface->link_type,
    .data = f + fixed,
    .caplen = caplen,
    .wirelen = MAX (wirelen, caplen),
    .offset = record,
  };
  self->skip = total;
  return OWD_STATUS_OK;
}

static OwdStatus
next_pcapng (OwdCapture *self, OwdCapturePacket *packet, GError **error)
{
  for (;;) {
    guint64 record = self->offset;
    const guint8 *h = need (self, NG_BLOCK_HEADER);
    guint32 type, total;
    OwdStatus status;

    if (h == NULL)
      return visible (self) == 0 && self->read_errno == 0 ? OWD_STATUS_END : fail_short (self, record, error);
    type = get32 (self, h);
    total = get32 (self, h + 4);
    if (type == NG_TYPE_SECTION) { /* reads the same in both orders; its length may not */
      status = read_section (self, error);
    } else if (total < NG_BLOCK_FRAME || total % 4 != 0) {
      return fail_corrupt (self, record, error, "a block of length", total);
    } else if (type == NG_TYPE_ENHANCED || type == NG_TYPE_SIMPLE || type == NG_TYPE_PACKET) {
      return read_packet (self, type, total, packet, error);
    } else {
      status = type == NG_TYPE_INTERFACE ? read_interface (self, total, error) : OWD_STATUS_OK;
      self->skip = total;
    }
    if (status != OWD_STATUS_OK)
      return status;
    if (!skip (self, self->skip))
      return fail_short (self, record, error);
    self->skip = 0;
  }
}

/* ---- public ------------------------------------------------------------------------------------ */

static gboolean
recognise (OwdCapture *self, GError **error)
{
  const guint8 *h = need (self, PCAP_FILE_HEADER);

  self->interfaces = g_array_new (FALSE, FALSE, sizeof (Interface));
  if (h == NULL && self->read_errno != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: %s", self->name, g_strerror (self->read_errno));
    return FALSE;
  }
  if (h == NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: no capture: only %" G_GSIZE_FORMAT " bytes long", self->name,
                 visible (self));
    return FALSE;
  }
  if (open_pcap (self, h))
    return TRUE;
  if (owd_be32 (h) == NG_TYPE_SECTION) {
    self->format = FORMAT_PCAPNG;
    return TRUE; /* the section header is read as the first block */
  }
  g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT,
               "%s: no capture: starts with %02x %02x %02x %02x, not like pcap or "
               "pcapng%s",
               self->name, h[0], h[1], h[2], h[3],
               h[0] == 0x1f && h[1] == 0x8b ? "; it is compressed: gunzip it and give it to --read -" : "");
  return FALSE;
}

OwdCapture *
owd_capture_open (const char *path, GError **error)
{
  g_autoptr (OwdCapture) self = g_new0 (OwdCapture, 1);
  gboolean is_stdin = strcmp (path, "-") == 0;

  self->name = g_strdup (is_stdin ? "standard input" : path);
  self->fd = is_stdin ? dup (STDIN_FILENO) : open (path, O_RDONLY | O_CLOEXEC);
  if (self->fd < 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: %s", self->name, g_strerror (errno));
    return NULL;
  }
  (void) posix_fadvise (self->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  self->window = g_malloc (WINDOW_BYTES + OWD_CAPTURE_SLACK);
  memset (self->window + WINDOW_BYTES, 0, OWD_CAPTURE_SLACK);
  self->p = self->end = self->window;
  if (!recognise (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

OwdCapture *
owd_capture_open_memory (const char *name, const void *data, gsize len, GError **error)
{
  g_autoptr (OwdCapture) self = g_new0 (OwdCapture, 1);

  self->name = g_strdup (name);
  self->fd = -1;
  self->p = data;
  self->end = self->p + len;
  self->at_end = TRUE;
  if (!recognise (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

OwdStatus
owd_capture_next (OwdCapture *self, OwdCapturePacket *ret_packet, GError **error)
{
  guint64 record = self->offset;

  if (!skip (self, self->skip))
    return fail_short (self, record, error);
  self->skip = 0;
  return self->format == FORMAT_PCAP ? next_pcap (self, ret_packet, error) : next_pcapng (self, ret_packet, error);
}

gboolean
owd_capture_is_ready (const OwdCapture *self)
{
  return visible (self) > self->skip || self->at_end;
}

void
owd_capture_free (OwdCapture *self)
{
  if (self == NULL)
    return;
  if (self->fd >= 0)
    close (self->fd);
  if (self->interfaces != NULL)
    g_array_free (self->interfaces, TRUE);
  g_free (self->window);
  g_free (self->name);
  g_free (self);
}
