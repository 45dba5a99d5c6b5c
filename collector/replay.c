/* SPDX-License-Identifier: Apache-2.0
 *
 * Time in a replay is the receive time of the datagrams. When it passes the end of a second, the appender gets one
 * heartbeat, whatever the number of seconds passed: readers need to know that time went on, not how often. It carries
 * the last nanosecond before the new second, since the datagram that made the step may stand on its very beginning.
 * Captures of several interfaces are not strictly in order: a step back makes no heartbeat.
 */
#include "replay.h"
#include "owd-capture.h"
#include "owd-wire.h"
#include "refusals.h"

typedef struct {
  OwdDecoder *decoder;
  OwdRefusals *refusals;
  OwdLogAppender *appender; /* or */
  OwdDump *dump;
  OwdTime last_ns; /* receive time of the latest datagram */
  guint64 datagrams, records, not_export;
  guint64 verdicts[OWD_PACKET_VERDICTS];
  gboolean refused_by_disk;
} Replay;

static void
on_header (void *user, const OwdHeader *header)
{
  Replay *self = user;

  if (self->appender != NULL)
    owd_log_appender_header (self->appender, header);
}

static void
on_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  Replay *self = user;

  self->records++;
  if (self->dump != NULL)
    owd_dump_flow (self->dump, header, flow);
  else if (owd_log_appender_flow (self->appender, flow) == OWD_STATUS_FULL)
    self->refused_by_disk = TRUE;
}

/* For the packets of a capture that keeps no times: the last one known, else what the datagram says itself. */
static OwdTime
substitute_time (const Replay *self, const OwdUdp *udp)
{
  gsize at = owd_be16 (udp->payload) == 10 ? 4 : 8;

  if (self->last_ns != OWD_TIME_NONE)
    return self->last_ns;
  return udp->len >= at + 4 ? owd_be32 (udp->payload + at) * OWD_NS_PER_S : 0;
}

static gboolean
beat (Replay *self, OwdTime t, GError **error)
{
  OwdTime second = t - t % OWD_NS_PER_S;

  if (self->appender == NULL || self->last_ns == OWD_TIME_NONE || self->last_ns >= second)
    return TRUE;
  return owd_log_appender_beat (self->appender, second - 1, error);
}

/* Blocks that the disk refused are gone; a flush says why. */
static gboolean
check_disk (Replay *self, GError **error)
{
  if (!self->refused_by_disk)
    return TRUE;
  if (owd_log_appender_flush (self->appender, self->last_ns, error))
    g_set_error (error, OWD_ERROR, OWD_ERROR_FULL, "the log's disk refused records");
  return FALSE;
}

static gboolean
replay_packet (Replay *self, const OwdCapturePacket *packet, GError **error)
{
  OwdUdp udp;
  OwdPacketVerdict verdict = owd_packet_udp (packet->link_type, packet->data, packet->caplen, packet->wirelen, &udp);
  OwdTime t;

  if (verdict != OWD_PACKET_UDP) {
    self->verdicts[verdict]++;
    return TRUE;
  }
  if (!owd_packet_is_export (udp.payload, udp.len)) {
    self->not_export++;
    return TRUE;
  }
  t = packet->time_ns != OWD_TIME_NONE ? packet->time_ns : substitute_time (self, &udp);
  if (!beat (self, t, error))
    return FALSE;
  self->last_ns = MAX (self->last_ns, t);
  self->datagrams++;
  if (owd_decoder_feed (self->decoder, &udp.src, udp.sport, t, udp.payload, udp.len) != OWD_STATUS_OK)
    /* time stands still for it: the summary at the end says what repeated */
    owd_refusals_add (self->refusals, self->decoder, &udp.src, udp.payload, udp.len, 0);
  return check_disk (self, error);
}

static gboolean
replay_file (Replay *self, const char *path, GError **error)
{
  g_autoptr (OwdCapture) capture = owd_capture_open (path, error);
  g_autoptr (GError) cut = NULL;
  OwdCapturePacket packet;
  OwdStatus status;

  if (capture == NULL)
    return FALSE;
  while ((status = owd_capture_next (capture, &packet, &cut)) == OWD_STATUS_OK) {
    if (!replay_packet (self, &packet, error))
      return FALSE;
    if (self->dump != NULL && !owd_capture_is_ready (capture))
      owd_dump_flush (self->dump); /* somebody may be looking at a live capture */
  }
  if (status == OWD_STATUS_SHORT) {
    g_warning ("%s", cut->message);
  } else if (status != OWD_STATUS_END) {
    g_propagate_error (error, g_steal_pointer (&cut));
    return FALSE;
  }
  return TRUE;
}

static void
summarise (const Replay *self)
{
  g_autoptr (GString) others = g_string_new (NULL);
  guint64 other_packets = self->not_export;

  if (self->not_export > 0)
    g_string_append_printf (others, ", %" G_GUINT64_FORMAT " UDP but no export", self->not_export);
  for (guint v = 0; v < OWD_PACKET_VERDICTS; v++)
    if (self->verdicts[v] > 0) {
      other_packets += self->verdicts[v];
      g_string_append_printf (others, ", %" G_GUINT64_FORMAT " %s", self->verdicts[v],
                              owd_packet_verdict_text ((OwdPacketVerdict) v));
    }
  g_message ("%" G_GUINT64_FORMAT " export datagrams, %" G_GUINT64_FORMAT " flow records, %" G_GUINT64_FORMAT
             " other packets%s%s%s",
             self->datagrams, self->records, other_packets, others->len > 0 ? " (" : "",
             others->len > 0 ? others->str + 2 : "", others->len > 0 ? ")" : "");
  owd_refusals_summary (self->decoder);
}

/* The last heartbeat, and safely on the disk. Runs after a failure too: what was read is kept. */
static gboolean
finish_log (Replay *self, OwdLogWriter *writer, GError **error)
{
  if (self->last_ns != OWD_TIME_NONE && !owd_log_appender_beat (self->appender, self->last_ns, error))
    return FALSE;
  return owd_log_writer_sync (writer, error);
}

gint64
owd_replay (const char *const *paths, const OwdDecoderLimits *limits, OwdLogWriter *writer, OwdDump *dump,
            GError **error)
{
  g_autoptr (OwdLogAppender) appender = writer != NULL ? owd_log_appender_new (writer) : NULL;
  g_autoptr (OwdRefusals) refusals = owd_refusals_new ();
  Replay self = { .refusals = refusals, .appender = appender, .dump = dump, .last_ns = OWD_TIME_NONE };
  OwdDecoderSink sink = { .header = on_header, .flow = on_flow, .user = &self };
  g_autoptr (OwdDecoder) decoder = owd_decoder_new (&sink, limits, error);
  gboolean ok = TRUE;

  if (decoder == NULL)
    return -1;
  self.decoder = decoder;
  for (guint i = 0; paths[i] != NULL && ok; i++)
    ok = replay_file (&self, paths[i], error);
  if (writer != NULL)
    ok = finish_log (&self, writer, ok ? error : NULL) && ok;
  else
    ok = owd_dump_finish (dump, ok ? error : NULL) && ok;
  summarise (&self);
  return ok ? (gint64) self.datagrams : -1;
}
