/* SPDX-License-Identifier: Apache-2.0
 *
 * A JSON writer for one kind of object.
 *
 * All names are fixed and all texts are addresses, words of ours or two letters of a country, so there is nothing to
 * escape. Numbers are written as integers in full; raw NTP stamps go beyond 2^53, which readers that keep numbers as
 * doubles round.
 *
 * An object is built in the buffer and needs no check within: RECORD_MAX is larger than the longest one that the
 * fields' ranges allow.
 */
#include "dump.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define RECORD_MAX 4096

struct OwdDump {
  int fd;
  int write_errno; /* 0: fine so far */
  OwdGeoWatch *geo;
  gint64 looked_us; /* at its files, monotonic */
  guint64 records;
  gsize used;
  char buffer[BUFFER_BYTES];
};

/* Files are small beside what is written between two looks, and a live capture may be dumped for weeks. */
static void
look_at_geo (OwdDump *self)
{
  gint64 now_us = g_get_monotonic_time ();

  if (self->geo == NULL || (self->looked_us != 0 && now_us - self->looked_us < OWD_GEO_LOOK_US))
    return;
  (void) owd_geo_watch_look (self->geo);
  self->looked_us = now_us;
}

OwdDump *
owd_dump_new (int fd, OwdGeoWatch *geo)
{
  OwdDump *self = g_new0 (OwdDump, 1);

  self->fd = fd;
  self->geo = geo;
  look_at_geo (self);
  return self;
}

void
owd_dump_free (OwdDump *self)
{
  if (self == NULL)
    return;
  owd_geo_watch_free (self->geo);
  g_free (self);
}

guint64
owd_dump_records (const OwdDump *self)
{
  return self->records;
}

void
owd_dump_flush (OwdDump *self)
{
  gsize done = 0;

  while (done < self->used && self->write_errno == 0) {
    gssize n = write (self->fd, self->buffer + done, self->used - done);

    if (n >= 0)
      done += (gsize) n;
    else if (errno != EINTR)
      self->write_errno = errno;
  }
  self->used = 0;
  look_at_geo (self);
}

gboolean
owd_dump_finish (OwdDump *self, GError **error)
{
  owd_dump_flush (self);
  if (self->write_errno == 0)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write the records: %s", g_strerror (self->write_errno));
  return FALSE;
}

/* ---- values ------------------------------------------------------------------------------------ */

static void
put_text (OwdDump *self, const char *text, gsize n)
{
  memcpy (self->buffer + self->used, text, n);
  self->used += n;
}

static void
put_unsigned (OwdDump *self, guint64 v)
{
  char digits[20];
  guint i = sizeof digits;

  do
    digits[--i] = (char) ('0' + v % 10);
  while ((v /= 10) != 0);
  put_text (self, digits + i, sizeof digits - i);
}

static void
put_signed (OwdDump *self, gint64 v)
{
  if (v < 0)
    put_text (self, "-", 1);
  put_unsigned (self, v < 0 ? 0 - (guint64) v : (guint64) v);
}

static void
put_address (OwdDump *self, const OwdAddr *addr)
{
  put_text (self, "\"", 1);
  if (owd_addr_is_v4 (addr)) {
    for (guint i = 12; i < 16; i++) {
      put_unsigned (self, addr->b[i]);
      put_text (self, ".", i < 15 ? 1 : 0);
    }
  } else {
    char text[OWD_ADDR_TEXT];

    owd_addr_text (addr, text);
    put_text (self, text, strlen (text));
  }
  put_text (self, "\"", 1);
}

/* ---- members, none of them the first of its object --------------------------------------------- */

static inline void
put_key (OwdDump *self, const char *name)
{
  put_text (self, ",\"", 2);
  put_text (self, name, strlen (name));
  put_text (self, "\":", 2);
}

static inline void
put_member (OwdDump *self, const char *name, guint64 value)
{
  put_key (self, name);
  put_unsigned (self, value);
}

static inline void
put_member_or_null (OwdDump *self, const char *name, gboolean there, guint64 value)
{
  put_key (self, name);
  if (there)
    put_unsigned (self, value);
  else
    put_text (self, "null", 4);
}

static inline void
put_member_if_set (OwdDump *self, const char *name, guint64 value)
{
  if (value != 0)
    put_member (self, name, value);
}

static void
put_word (OwdDump *self, const char *name, const char *word)
{
  put_key (self, name);
  put_text (self, "\"", 1);
  put_text (self, word, strlen (word));
  put_text (self, "\"", 1);
}

static void
put_true (OwdDump *self, const char *name)
{
  put_key (self, name);
  put_text (self, "true", 4);
}

static void
put_time (OwdDump *self, OwdTime t)
{
  if (t == OWD_TIME_NONE)
    put_text (self, "null", 4);
  else
    put_signed (self, t);
}

static void
put_kind (OwdDump *self, OwdStampKind kind)
{
  static const char *const names[OWD_STAMP_KINDS] = {
    [OWD_STAMP_NONE] = "null",
    [OWD_STAMP_UPTIME_MS] = "\"uptime_ms\"",
    [OWD_STAMP_UNIX_S] = "\"unix_s\"",
    [OWD_STAMP_UNIX_MS] = "\"unix_ms\"",
    [OWD_STAMP_NTP_US] = "\"ntp_us\"",
    [OWD_STAMP_NTP_NS] = "\"ntp_ns\"",
    [OWD_STAMP_DELTA_US] = "\"delta_us\"",
    [OWD_STAMP_EVENT_S] = "\"event_s\"",
    [OWD_STAMP_EVENT_MS] = "\"event_ms\"",
    [OWD_STAMP_EVENT_US] = "\"event_us\"",
    [OWD_STAMP_EVENT_NS] = "\"event_ns\"",
  };
  const char *name = names[kind < OWD_STAMP_KINDS ? kind : OWD_STAMP_NONE];

  put_text (self, name, strlen (name));
}

static void
put_stamps (OwdDump *self, const OwdHeader *header, const OwdFlow *flow)
{
  put_key (self, "start_ns");
  put_time (self, owd_flow_claim (header, flow, flow->start_kind, flow->start_raw));
  put_key (self, "end_ns");
  put_time (self, owd_flow_claim (header, flow, flow->end_kind, flow->end_raw));
  put_member_or_null (self, "start_raw", flow->start_kind != OWD_STAMP_NONE, flow->start_raw);
  put_member_or_null (self, "end_raw", flow->end_kind != OWD_STAMP_NONE, flow->end_raw);
  put_key (self, "start_kind");
  put_kind (self, flow->start_kind);
  put_key (self, "end_kind");
  put_kind (self, flow->end_kind);
}

static void
put_end_reason (OwdDump *self, guint reason)
{
  switch (reason) {
  case OWD_END_UNKNOWN:
    break;
  case OWD_END_IDLE:
    put_word (self, "end_reason", "idle");
    break;
  case OWD_END_ACTIVE:
    put_word (self, "end_reason", "active");
    break;
  case OWD_END_DETECTED:
    put_word (self, "end_reason", "detected");
    break;
  case OWD_END_FORCED:
    put_word (self, "end_reason", "forced");
    break;
  case OWD_END_RESOURCES:
    put_word (self, "end_reason", "resources");
    break;
  default:
    put_member (self, "end_reason", reason);
  }
}

/* What only some records have: the key is there where the value is. */
static void
put_rare (OwdDump *self, const OwdFlow *flow)
{
  put_member_if_set (self, "tos", flow->tos);
  put_member_if_set (self, "vlan", flow->vlan);
  put_member_if_set (self, "vrf", flow->vrf);
  put_member_if_set (self, "mpls", flow->mpls);
  put_member_if_set (self, "line_card", flow->line_card);
  put_member_if_set (self, "obs_point", flow->obs_point);
  if (!owd_addr_is_zero (&flow->post_src)) {
    put_key (self, "post_src");
    put_address (self, &flow->post_src);
  }
  if (!owd_addr_is_zero (&flow->post_dst)) {
    put_key (self, "post_dst");
    put_address (self, &flow->post_dst);
  }
  put_member_if_set (self, "post_sport", flow->post_sport);
  put_member_if_set (self, "post_dport", flow->post_dport);
  put_member_if_set (self, "delay_mean_us", flow->delay_mean_us);
  put_member_if_set (self, "delay_min_us", flow->delay_min_us);
  put_member_if_set (self, "delay_max_us", flow->delay_max_us);
  put_member_if_set (self, "delay_sum_us", flow->delay_sum_us);
}

static void
put_places (OwdDump *self, const OwdFlow *flow)
{
  const OwdGeo *geo = self->geo != NULL ? owd_geo_watch_get (self->geo) : NULL;
  OwdPlace src, dst;

  if (geo == NULL)
    return;
  owd_geo_lookup (geo, &flow->src, &src);
  owd_geo_lookup (geo, &flow->dst, &dst);
  put_member_if_set (self, "src_asn", src.asn);
  put_member_if_set (self, "dst_asn", dst.asn);
  if (src.country[0] != '\0')
    put_word (self, "src_country", src.country);
  if (dst.country[0] != '\0')
    put_word (self, "dst_country", dst.country);
}

static void
put_optional (OwdDump *self, const OwdHeader *header, const OwdFlow *flow)
{
  gint64 init_ms = flow->init_ms != 0 ? flow->init_ms : header->init_ms;

  if (header->flags & OWD_HEADER_FRAC)
    put_member (self, "export_frac_ns", header->export_frac_ns);
  if (init_ms != 0) {
    put_key (self, "init_ms");
    put_signed (self, init_ms);
  }
  if (header->flags & OWD_HEADER_REPLAY)
    put_true (self, "late_template");
  put_member_if_set (self, "in_if", flow->in_if);
  put_member_if_set (self, "out_if", flow->out_if);
  put_end_reason (self, flow->end_reason);
  if (flow->flags & OWD_FLOW_INGRESS)
    put_word (self, "direction", "ingress");
  if (flow->flags & OWD_FLOW_EGRESS)
    put_word (self, "direction", "egress");
  if (flow->flags & OWD_FLOW_REVERSE)
    put_word (self, "biflow", "reverse");
  else if (flow->flags & OWD_FLOW_BIFLOW)
    put_word (self, "biflow", "forward");
  if (flow->flags & OWD_FLOW_TOTALS)
    put_true (self, "totals");
  put_member_if_set (self, "sampling", flow->sampling);
  put_member_if_set (self, "ttl_min", flow->ttl_min);
  put_member_if_set (self, "ttl_max", flow->ttl_max);
  put_rare (self, flow);
  put_places (self, flow);
}

void
owd_dump_flow (OwdDump *self, const OwdHeader *header, const OwdFlow *flow)
{
  if (self->used > BUFFER_BYTES - RECORD_MAX)
    owd_dump_flush (self);
  if (self->write_errno != 0)
    return;
  put_text (self, "{\"exporter\":", 12);
  put_address (self, &header->key.addr);
  put_member (self, "exporter_port", header->port);
  put_member (self, "domain", header->key.domain);
  put_member (self, "version", header->key.version);
  put_member (self, "template", flow->template_id);
  put_key (self, "src");
  put_address (self, &flow->src);
  put_key (self, "dst");
  put_address (self, &flow->dst);
  put_member (self, "sport", flow->sport);
  put_member (self, "dport", flow->dport);
  put_member (self, "proto", flow->proto);
  put_member_or_null (self, "packets", flow->flags & OWD_FLOW_PACKETS, flow->packets);
  put_member_or_null (self, "octets", flow->flags & OWD_FLOW_OCTETS, flow->octets);
  put_member_or_null (self, "tcp_flags", flow->flags & OWD_FLOW_FLAGS, flow->tcp_flags);
  put_stamps (self, header, flow);
  put_member (self, "export_s", header->export_s);
  put_member_or_null (self, "uptime_ms", header->flags & OWD_HEADER_UPTIME, header->uptime_ms);
  put_key (self, "recv_ns");
  put_time (self, header->recv_ns);
  put_member (self, "seq", header->seq);
  put_optional (self, header, flow);
  put_text (self, "}\n", 2);
  self->records++;
}
