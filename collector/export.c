/* SPDX-License-Identifier: Apache-2.0
 *
 * libfixbuf writes; we lay out the records. Four templates: flows of IPv4 and IPv6, from exporters of IPv4 and IPv6.
 *
 * Who exported is told by the elements that RFC 7119 made for mediators (originalExporterIPv4Address and so on), when
 * it arrived by collectionTimeMilliseconds. Absolute times are what the datagram alone claims (owd_flow_claim). Stamps
 * in sysUptime are written as they were, with the boot time that the header implies, so the pair says the same again to
 * the millisecond. What a record does not have is 0.
 *
 * Invariant: Record and its addresses lie in memory as `elements` lists them, without holes; the library copies by the
 * template's lengths.
 */
#include "export.h"

#include <errno.h>
#include <fixbuf/public.h>
#include <stdio.h>
#include <string.h>

#define TEMPLATE_BASE 256

/* Bits of a template's id above the base, and what an element asks for. */
enum { FLOW_V6 = 1, EXPORTER_V6 = 2, FLOW_V4 = 4, EXPORTER_V4 = 8, TEMPLATES = 4 };

typedef struct {
  guint64 packets, octets;
  guint64 start_ntp, end_ntp;
  guint64 recv_ms, init_ms;
  guint32 start_uptime_ms, end_uptime_ms;
  guint32 in_if, out_if;
  guint32 domain, sampling;
  guint16 sport, dport, tcp_flags, vlan;
  guint8 proto, end_reason, ttl_min, ttl_max;
  guint8 tos, ip_version, export_version, export_transport;
  guint8 addresses[3 * 16]; /* source, destination, exporter: 4 or 16 bytes each, one behind the other */
} Record;

G_STATIC_ASSERT (sizeof (Record) == 88 + 48);

#define ELEMENT(name, len, flags)                                                                                      \
  {                                                                                                                    \
    (char *) (guintptr) name, len, flags                                                                               \
  }

static fbInfoElementSpec_t elements[] = {
  ELEMENT ("packetDeltaCount", 8, 0),
  ELEMENT ("octetDeltaCount", 8, 0),
  ELEMENT ("flowStartNanoseconds", 8, 0),
  ELEMENT ("flowEndNanoseconds", 8, 0),
  ELEMENT ("collectionTimeMilliseconds", 8, 0),
  ELEMENT ("systemInitTimeMilliseconds", 8, 0),
  ELEMENT ("flowStartSysUpTime", 4, 0),
  ELEMENT ("flowEndSysUpTime", 4, 0),
  ELEMENT ("ingressInterface", 4, 0),
  ELEMENT ("egressInterface", 4, 0),
  ELEMENT ("originalObservationDomainId", 4, 0),
  ELEMENT ("samplingInterval", 4, 0),
  ELEMENT ("sourceTransportPort", 2, 0),
  ELEMENT ("destinationTransportPort", 2, 0),
  ELEMENT ("tcpControlBits", 2, 0),
  ELEMENT ("vlanId", 2, 0),
  ELEMENT ("protocolIdentifier", 1, 0),
  ELEMENT ("flowEndReason", 1, 0),
  ELEMENT ("minimumTTL", 1, 0),
  ELEMENT ("maximumTTL", 1, 0),
  ELEMENT ("ipClassOfService", 1, 0),
  ELEMENT ("ipVersion", 1, 0),
  ELEMENT ("exportProtocolVersion", 1, 0),
  ELEMENT ("exportTransportProtocol", 1, 0),
  ELEMENT ("sourceIPv4Address", 4, FLOW_V4),
  ELEMENT ("destinationIPv4Address", 4, FLOW_V4),
  ELEMENT ("sourceIPv6Address", 16, FLOW_V6),
  ELEMENT ("destinationIPv6Address", 16, FLOW_V6),
  ELEMENT ("originalExporterIPv4Address", 4, EXPORTER_V4),
  ELEMENT ("originalExporterIPv6Address", 16, EXPORTER_V6),
  FB_IESPEC_NULL,
};

struct OwdExport {
  char *path;
  FILE *file; /* ours: the library does not look whether closing it went well */
  fbInfoModel_t *model;
  fBuf_t *fbuf;      /* with session and exporter */
  guint template_id; /* set in fbuf; 0: none */
  guint64 records;
  GError *error; /* the first failure */
};

/* ---- set-up ------------------------------------------------------------------------------------ */

static void
fail (OwdExport *self, GError *cause)
{
  if (self->error == NULL)
    g_set_error (&self->error, OWD_ERROR, OWD_ERROR_IO, "%s: %s", self->path,
                 cause != NULL ? cause->message : "cannot write");
  g_clear_error (&cause);
}

static gboolean
add_templates (OwdExport *self, fbSession_t *session)
{
  GError *cause = NULL;

  for (guint k = 0; k < TEMPLATES; k++) {
    guint flags = (k & FLOW_V6 ? FLOW_V6 : FLOW_V4) | (k & EXPORTER_V6 ? EXPORTER_V6 : EXPORTER_V4);
    fbTemplate_t *t = fbTemplateAlloc (self->model);
    guint16 id = (guint16) (TEMPLATE_BASE + k);

    if (!fbTemplateAppendSpecArray (t, elements, flags, &cause)) {
      fbTemplateFreeUnused (t);
      fail (self, cause);
      return FALSE;
    }
    if (fbSessionAddTemplate (session, TRUE, id, t, &cause) == 0
        || fbSessionAddTemplate (session, FALSE, id, t, &cause) == 0) {
      fail (self, cause);
      return FALSE;
    }
  }
  return TRUE;
}

OwdExport *
owd_export_new (const char *path, GError **error)
{
  OwdExport *self = g_new0 (OwdExport, 1);
  fbSession_t *session;

  self->path = g_strdup (path);
  self->model = fbInfoModelAlloc ();
  self->file = fopen (path, "we");
  if (self->file == NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: %s", path, g_strerror (errno));
    owd_export_free (self);
    return NULL;
  }
  session = fbSessionAlloc (self->model);
  self->fbuf = fBufAllocForExport (session, fbExporterAllocFP (self->file));
  if (!add_templates (self, session)) { /* written to the file as they are added */
    g_propagate_error (error, g_steal_pointer (&self->error));
    owd_export_free (self);
    return NULL;
  }
  return self;
}

void
owd_export_free (OwdExport *self)
{
  if (self == NULL)
    return;
  if (self->fbuf != NULL)
    fBufFree (self->fbuf);
  if (self->file != NULL)
    fclose (self->file);
  fbInfoModelFree (self->model);
  g_clear_error (&self->error);
  g_free (self->path);
  g_free (self);
}

/* ---- records ----------------------------------------------------------------------------------- */

/* NTP 64-bit format, rounded up so that reading it rounds down to the same nanosecond; 0 for no time. */
static guint64
ntp_time (OwdTime t)
{
  guint64 s, ns;

  if (t == OWD_TIME_NONE || t < 0)
    return 0;
  s = (guint64) t / OWD_NS_PER_S + G_GUINT64_CONSTANT (2208988800);
  ns = (guint64) t % OWD_NS_PER_S;
  return s << 32 | ((ns << 32) + OWD_NS_PER_S - 1) / OWD_NS_PER_S;
}

/* When the exporter booted, as its own stamps say; 0 where they do not. */
static guint64
init_ms (const OwdHeader *header, const OwdFlow *flow)
{
  gint64 ms = flow->init_ms != 0 ? flow->init_ms : header->init_ms;

  if (header->flags & OWD_HEADER_UPTIME)
    ms = (gint64) header->export_s * 1000 + header->export_frac_ns / 1000000 - header->uptime_ms;
  return (guint64) MAX (ms, 0);
}

/* IPv4 is a number in the machine's order for the library, IPv6 is bytes. Returns the bytes taken. */
static gsize
put_address (guint8 *to, const OwdAddr *addr, gboolean v6)
{
  guint32 v4;

  if (v6) {
    memcpy (to, addr->b, sizeof addr->b);
    return sizeof addr->b;
  }
  memcpy (&v4, addr->b + 12, sizeof v4);
  v4 = GUINT32_FROM_BE (v4);
  memcpy (to, &v4, sizeof v4);
  return sizeof v4;
}

static guint32
uptime_stamp (guint kind, guint64 raw)
{
  return kind == OWD_STAMP_UPTIME_MS ? (guint32) raw : 0;
}

static void
fill (Record *r, const OwdHeader *header, const OwdFlow *flow, gboolean v6)
{
  *r = (Record){
    .packets = flow->packets,
    .octets = flow->octets,
    .start_ntp = ntp_time (owd_flow_claim (header, flow, flow->start_kind, flow->start_raw)),
    .end_ntp = ntp_time (owd_flow_claim (header, flow, flow->end_kind, flow->end_raw)),
    .recv_ms = (guint64) MAX (header->recv_ns / OWD_NS_PER_MS, 0),
    .init_ms = init_ms (header, flow),
    .start_uptime_ms = uptime_stamp (flow->start_kind, flow->start_raw),
    .end_uptime_ms = uptime_stamp (flow->end_kind, flow->end_raw),
    .in_if = flow->in_if,
    .out_if = flow->out_if,
    .domain = header->key.domain,
    .sampling = flow->sampling,
    .sport = flow->sport,
    .dport = flow->dport,
    .tcp_flags = flow->tcp_flags,
    .vlan = (guint16) flow->vlan,
    .proto = flow->proto,
    .end_reason = flow->end_reason,
    .ttl_min = flow->ttl_min,
    .ttl_max = flow->ttl_max,
    .tos = flow->tos,
    .ip_version = v6 ? 6 : 4,
    .export_version = (guint8) header->key.version,
    .export_transport = 17,
  };
}

static gboolean
set_template (OwdExport *self, guint id, GError **cause)
{
  if (self->template_id == id)
    return TRUE;
  self->template_id = id;
  return fBufSetInternalTemplate (self->fbuf, (guint16) id, cause)
         && fBufSetExportTemplate (self->fbuf, (guint16) id, cause);
}

void
owd_export_flow (OwdExport *self, const OwdHeader *header, const OwdFlow *flow)
{
  gboolean flow_v6 = !owd_addr_is_v4 (&flow->src) || !owd_addr_is_v4 (&flow->dst);
  gboolean exporter_v6 = !owd_addr_is_v4 (&header->key.addr);
  guint id = TEMPLATE_BASE + (flow_v6 ? FLOW_V6 : 0) + (exporter_v6 ? EXPORTER_V6 : 0);
  guint8 *end;
  Record r;
  GError *cause = NULL;

  if (self->error != NULL)
    return;
  fill (&r, header, flow, flow_v6);
  end = r.addresses;
  end += put_address (end, &flow->src, flow_v6);
  end += put_address (end, &flow->dst, flow_v6);
  end += put_address (end, &header->key.addr, exporter_v6);
  fBufSetExportTime (self->fbuf, (guint32) (header->recv_ns / OWD_NS_PER_S));
  if (!set_template (self, id, &cause)
      || !fBufAppend (self->fbuf, (guint8 *) &r, (gsize) (end - (guint8 *) &r), &cause))
    fail (self, cause);
  else
    self->records++;
}

guint64
owd_export_records (const OwdExport *self)
{
  return self->records;
}

gboolean
owd_export_finish (OwdExport *self, GError **error)
{
  GError *cause = NULL;

  if (self->error == NULL && !fBufEmit (self->fbuf, &cause))
    fail (self, cause);
  fBufFree (self->fbuf);
  self->fbuf = NULL;
  if (fclose (self->file) != 0 && self->error == NULL)
    g_set_error (&self->error, OWD_ERROR, OWD_ERROR_IO, "%s: %s", self->path, g_strerror (errno));
  self->file = NULL;
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}
