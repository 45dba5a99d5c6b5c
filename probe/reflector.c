/* SPDX-License-Identifier: Apache-2.0
 *
 * A reflector's decisions: whether to answer, and with what.
 *
 * It faces anybody, so: an answer is never longer than its question (answer_short apart, which needs an allow-list);
 * what is not understood, not allowed or not authentic gets silence; nothing grows. Two tables of fixed size, four-way
 * buckets with the longest idle entry giving way: sessions (how many answered: the stateful sequence number) and
 * sources (a token bucket each). Their hash is seeded, so nobody can aim at a bucket. A flood of invented sources
 * evicts idle sessions; their counts start anew, which senders notice and survive.
 *
 * TLV type 12 (reflected packet control) asks for more and longer replies than were sent; like everything unknown it
 * goes back untouched with its U flag set.
 */
#include "fates.h"
#include "packet.h"

#include <xxhash.h>

enum {
  WAYS = 4,
  SESSION_IDLE_S = 900, /* REFWAIT of RFC 5357, 4.2 */
  BURST_MS = 1000,      /* how long a source may save up */
};

/* No padding: hashed and compared as memory. */
typedef struct {
  OwdAddr src, dst;
  guint16 sport, dport, ssid, used;
} SessionKey;

typedef struct {
  SessionKey key;
  OwdTime last_t2;
  OwdTime departed; /* of answer departed_seq; OWD_TIME_NONE until known */
  guint32 departed_seq;
  guint32 rx, tx;
  guint32 generation; /* tells a reused entry */
  OwdProbeArrivalLog arrivals;
} Session;

typedef struct {
  OwdAddr prefix;
  OwdTime last;
  gint64 credit_ns; /* a packet costs 1 s / rate */
  gboolean used;
} Source;

struct OwdProbeReflector {
  OwdProbeReflectorConfig cfg;
  guint session_mask, source_mask; /* of buckets */
  Session *sessions;
  Source *sources;
  guint32 generation;
  guint64 counts[OWD_PROBE_VERDICTS];
};

static const char *const verdict_texts[OWD_PROBE_VERDICTS] = {
  "answered", "source not allowed", "over the rate limit", "too short",
  "too long", "not authentic",      "asked for no reply",
};

const char *
owd_probe_verdict_text (OwdProbeVerdict verdict)
{
  return verdict_texts[verdict];
}

static guint
buckets_for (guint entries)
{
  guint n = 1;

  while (n * WAYS < entries && n < 1u << 20)
    n *= 2;
  return n;
}

OwdProbeReflector *
owd_probe_reflector_new (const OwdProbeReflectorConfig *cfg)
{
  OwdProbeReflector *self = g_new0 (OwdProbeReflector, 1);

  self->cfg = *cfg;
  self->session_mask = buckets_for (cfg->sessions) - 1;
  self->source_mask = buckets_for (cfg->sources) - 1;
  self->sessions = g_new0 (Session, (gsize) (self->session_mask + 1) * WAYS);
  self->sources = g_new0 (Source, (gsize) (self->source_mask + 1) * WAYS);
  return self;
}

void
owd_probe_reflector_free (OwdProbeReflector *self)
{
  if (self == NULL)
    return;
  g_free (self->sessions);
  g_free (self->sources);
  g_free (self);
}

guint64
owd_probe_reflector_count (const OwdProbeReflector *self, OwdProbeVerdict verdict)
{
  return self->counts[verdict];
}

/* ---- who may --------------------------------------------------------------------------------- */

static Source *
source_of (OwdProbeReflector *self, const OwdAddr *src, OwdTime now)
{
  OwdAddr prefix = *src;
  Source *bucket, *oldest;

  if (!owd_addr_is_v4 (src))
    memset (prefix.b + 8, 0, 8); /* one host owns a whole /64 */
  bucket = &self->sources[(XXH3_64bits_withSeed (&prefix, sizeof prefix, self->cfg.seed) & self->source_mask) * WAYS];
  oldest = bucket;
  for (guint i = 0; i < WAYS; i++) {
    if (bucket[i].used && memcmp (&bucket[i].prefix, &prefix, sizeof prefix) == 0)
      return &bucket[i];
    if (!bucket[i].used || (oldest->used && bucket[i].last < oldest->last))
      oldest = &bucket[i];
  }
  *oldest = (Source){ .prefix = prefix, .last = now, .credit_ns = BURST_MS * OWD_NS_PER_MS, .used = TRUE };
  return oldest;
}

static gboolean
within_rate (OwdProbeReflector *self, const OwdAddr *src, OwdTime now)
{
  gint64 cost;
  Source *s;

  if (self->cfg.rate == 0)
    return TRUE;
  cost = OWD_NS_PER_S / self->cfg.rate;
  s = source_of (self, src, now);
  if (now > s->last) {
    s->credit_ns = MIN (s->credit_ns + MIN (now - s->last, OWD_NS_PER_S), MAX (BURST_MS * OWD_NS_PER_MS, cost));
    s->last = now;
  }
  if (s->credit_ns < cost)
    return FALSE;
  s->credit_ns -= cost;
  return TRUE;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static Session *
session_of (OwdProbeReflector *self, const OwdProbeQuestion *q, guint16 ssid)
{
  SessionKey key = { .src = q->src, .dst = q->dst, .sport = q->sport, .dport = q->dport, .ssid = ssid, .used = 1 };
  Session *bucket, *oldest, *s = NULL;

  bucket = &self->sessions[(XXH3_64bits_withSeed (&key, sizeof key, self->cfg.seed) & self->session_mask) * WAYS];
  oldest = bucket;
  for (guint i = 0; i < WAYS && s == NULL; i++) {
    if (memcmp (&bucket[i].key, &key, sizeof key) == 0)
      s = &bucket[i];
    else if (!bucket[i].key.used || (oldest->key.used && bucket[i].last_t2 < oldest->last_t2))
      oldest = &bucket[i];
  }
  if (s == NULL || q->t2 - s->last_t2 > SESSION_IDLE_S * OWD_NS_PER_S) {
    s = s != NULL ? s : oldest;
    *s = (Session){ .key = key, .departed = OWD_TIME_NONE, .generation = ++self->generation };
  }
  s->last_t2 = q->t2;
  return s;
}

void
owd_probe_reflector_departed (OwdProbeReflector *self, const OwdProbeAnswer *answer, OwdTime t3)
{
  Session *s = &self->sessions[answer->session];

  if (s->generation != answer->generation)
    return;
  s->departed = t3;
  s->departed_seq = answer->seq;
}

/* ---- TLVs ------------------------------------------------------------------------------------ */

typedef struct {
  OwdProbeReflector *self;
  const OwdProbeQuestion *q;
  Session *session; /* NULL: stateless */
  OwdProbeAnswer *answer;
  gboolean ptp;
  gboolean silent; /* the sender wants no reply */
  gboolean query;  /* it asks what has arrived */
} TlvWork;

enum { SYNC_NTP = 1, SYNC_LOCAL = 5, METHOD_SOFTWARE = 2, METHOD_CONTROL_PLANE = 3 };

/* RFC 8972, 4.2: ports, then sub-TLVs with a header of their own. A request for "the address" is answered with the
 * type of its family. Returns: FALSE where the sub-TLVs are none. */
static gboolean
fill_location (const OwdProbeQuestion *q, guint8 *value, gsize len)
{
  OwdWire w = owd_wire (value + 4, len - 4);
  OwdProbeTlv sub;
  OwdStatus status;

  owd_probe_put16 (value, q->dport);
  owd_probe_put16 (value + 2, q->sport);
  while ((status = owd_probe_tlv_next (&w, value, &sub)) == OWD_STATUS_OK) {
    guint8 *header = value + sub.offset;
    gboolean dst = sub.type >= 4 && sub.type <= 6, src = sub.type >= 7 && sub.type <= 9;
    const OwdAddr *addr = dst ? &q->dst : &q->src;
    gboolean v4 = owd_addr_is_v4 (addr);

    if ((!dst && !src) || sub.len != 16)
      continue;
    header[0] &= (guint8) ~OWD_PROBE_TLV_U;
    header[1] = (guint8) ((dst ? 5 : 8) + (v4 ? 0 : 1));
    memset (header + OWD_PROBE_TLV_HEADER, 0, 16);
    memcpy (header + OWD_PROBE_TLV_HEADER, v4 ? addr->b + 12 : addr->b, v4 ? 4 : 16);
  }
  return status == OWD_STATUS_END;
}

static void
fill_cos (TlvWork *work, guint8 *value)
{
  guint dscp = value[0] >> 2, ecn = value[2] >> 6, tos = (guint) MAX (work->q->tos, 0);

  owd_probe_put16 (value, (guint16) (dscp << 10 | (tos >> 2) << 4 | (tos & 3) << 2));
  value[2] = (guint8) (ecn << 6);
  work->answer->tos = (guint8) (dscp << 2 | ecn);
}

static void
fill_stamp_info (const OwdProbeQuestion *q, guint8 *value)
{
  value[0] = value[2] = q->error.synchronised ? SYNC_NTP : SYNC_LOCAL;
  value[1] = q->t2_soft ? METHOD_CONTROL_PLANE : METHOD_SOFTWARE;
  value[3] = METHOD_CONTROL_PLANE;
}

static void
fill_follow_up (TlvWork *work, guint8 *value)
{
  const Session *s = work->session;

  memset (value, 0, 16);
  work->answer->wants_stamp = TRUE;
  if (s->departed == OWD_TIME_NONE)
    return;
  owd_probe_put32 (value, s->departed_seq);
  owd_probe_put64 (value + 4, owd_probe_stamp_encode (s->departed, work->ptp));
  value[12] = METHOD_SOFTWARE;
}

/* Returns: FALSE where it is somebody else's TLV under our number. */
static gboolean
fill_arrivals (TlvWork *work, const OwdProbeTlv *tlv, guint8 *value)
{
  OwdProbeReflector *self = work->self;
  OwdProbeArrivalLog *log = &work->session->arrivals;
  OwdProbeArrivals asked;

  if (!owd_probe_read_arrivals (tlv, &asked))
    return FALSE;
  owd_probe_arrivals_ask (log, &asked, (guint32) self->cfg.seed + ++self->generation);
  owd_probe_put_arrivals (value, &log->sums);
  work->query = TRUE;
  return TRUE;
}

/* RFC 9503, section 4: only "no reply" (control code 0) is honoured; a reply never goes anywhere but to its sender. */
static gboolean
wants_silence (const guint8 *value, gsize len)
{
  OwdWire w = owd_wire (value, len);
  OwdProbeTlv sub;

  while (owd_probe_tlv_next (&w, value, &sub) == OWD_STATUS_OK)
    if (sub.type == 1 && sub.len == 4 && owd_be32 (sub.value) == 0)
      return TRUE;
  return FALSE;
}

/* Fills one TLV of the answer in place. Returns: its flags. */
static guint8
answer_tlv (TlvWork *work, const OwdProbeTlv *tlv, guint8 *value)
{
  const OwdAddr *dst = &work->q->dst;

  switch (tlv->type) {
  case OWD_PROBE_TLV_PADDING:
  case OWD_PROBE_TLV_ACCESS:
    return 0;
  case OWD_PROBE_TLV_LOCATION:
    if (tlv->len < 4)
      return OWD_PROBE_TLV_M;
    return fill_location (work->q, value, tlv->len) ? 0 : OWD_PROBE_TLV_M;
  case OWD_PROBE_TLV_STAMP_INFO:
    if (tlv->len < 4)
      return OWD_PROBE_TLV_M;
    fill_stamp_info (work->q, value);
    return 0;
  case OWD_PROBE_TLV_COS:
    if (tlv->len != 4)
      return OWD_PROBE_TLV_M;
    fill_cos (work, value);
    return 0;
  case OWD_PROBE_TLV_DIRECT:
    if (tlv->len != 12)
      return OWD_PROBE_TLV_M;
    if (work->session == NULL)
      return OWD_PROBE_TLV_U;
    owd_probe_put32 (value + 4, work->session->rx);
    owd_probe_put32 (value + 8, work->session->tx);
    return 0;
  case OWD_PROBE_TLV_FOLLOW_UP:
    if (tlv->len != 16)
      return OWD_PROBE_TLV_M;
    if (work->session == NULL)
      return OWD_PROBE_TLV_U;
    fill_follow_up (work, value);
    return 0;
  case OWD_PROBE_TLV_ARRIVALS:
    return work->session != NULL && fill_arrivals (work, tlv, value) ? 0 : OWD_PROBE_TLV_U;
  case OWD_PROBE_TLV_DESTINATION:
    if (tlv->len == 4)
      return owd_addr_is_v4 (dst) && memcmp (value, dst->b + 12, 4) == 0 ? 0 : OWD_PROBE_TLV_U;
    if (tlv->len == 16)
      return memcmp (value, dst->b, 16) == 0 ? 0 : OWD_PROBE_TLV_U;
    return OWD_PROBE_TLV_M;
  case OWD_PROBE_TLV_RETURN_PATH:
    work->silent |= wants_silence (value, tlv->len);
    return OWD_PROBE_TLV_U;
  default:
    return OWD_PROBE_TLV_U;
  }
}

static void
set_all_flags (guint8 *tail, gsize len, guint8 flag)
{
  OwdWire w = owd_wire (tail, len);
  OwdProbeTlv tlv;

  while (owd_probe_tlv_next (&w, tail, &tlv) == OWD_STATUS_OK)
    tail[tlv.offset] |= flag;
}

/* Is the request's HMAC TLV good? seq: its first four bytes. */
static gboolean
tlv_mac_fits (OwdProbeKey *key, const guint8 *seq, const guint8 *tail, gsize len)
{
  OwdWire w = owd_wire (tail, len);
  OwdProbeTlv tlv;
  guint8 mac[OWD_PROBE_MAC];
  gboolean only_padding = TRUE;

  while (owd_probe_tlv_next (&w, tail, &tlv) == OWD_STATUS_OK) {
    if (tlv.type == OWD_PROBE_TLV_HMAC && tlv.len == OWD_PROBE_MAC) {
      owd_probe_key_mac (key, seq, 4, tail, tlv.offset, mac);
      return owd_probe_mac_equal (mac, tlv.value);
    }
    only_padding = only_padding && tlv.type == OWD_PROBE_TLV_PADDING;
  }
  return only_padding;
}

/* Answers the TLVs of `tail`, a copy of the request's. Its length stays. */
static void
answer_tlvs (TlvWork *work, OwdProbeKey *key, guint8 *out, guint8 *tail, gsize len)
{
  OwdWire w = owd_wire (tail, len);
  OwdProbeTlv tlv;
  OwdStatus status;
  gboolean closed = FALSE;

  if (!owd_probe_is_tlv_chain (tail, len))
    return;
  if (key != NULL && !tlv_mac_fits (key, work->q->data, tail, len)) {
    set_all_flags (tail, len, OWD_PROBE_TLV_I);
    return;
  }
  while ((status = owd_probe_tlv_next (&w, tail, &tlv)) == OWD_STATUS_OK) {
    guint8 *header = tail + tlv.offset;

    if (closed && tlv.type != OWD_PROBE_TLV_PADDING) {
      header[0] |= OWD_PROBE_TLV_I; /* behind the HMAC TLV nothing is protected */
    } else if (key != NULL && tlv.type == OWD_PROBE_TLV_HMAC && tlv.len == OWD_PROBE_MAC) {
      header[0] = 0;
      owd_probe_key_mac (key, out, 4, tail, tlv.offset, header + OWD_PROBE_TLV_HEADER);
      closed = TRUE;
    } else {
      header[0] = answer_tlv (work, &tlv, header + OWD_PROBE_TLV_HEADER);
    }
  }
  if (status == OWD_STATUS_LENGTH)
    tail[tlv.offset + OWD_PROBE_TLV_HEADER + tlv.len] |= OWD_PROBE_TLV_M;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static OwdProbeKey *
key_of (const OwdProbeReflector *self, const OwdProbeQuestion *q)
{
  for (guint i = 0; i < self->cfg.n_keys; i++)
    if (owd_probe_mac_fits (q->data, self->cfg.keys[i]))
      return self->cfg.keys[i];
  return NULL;
}

static OwdProbeVerdict
judge (OwdProbeReflector *self, const OwdProbeQuestion *q, gsize cap, OwdProbeKey **ret_key)
{
  gboolean auth = self->cfg.n_keys > 0;
  gboolean short_too = self->cfg.answer_short && self->cfg.n_allow > 0 && !auth;

  *ret_key = NULL;
  if (!owd_prefix_list_allows (self->cfg.allow, self->cfg.n_allow, &q->src))
    return OWD_PROBE_DROP_SOURCE;
  if (q->len < (auth ? OWD_PROBE_BASE_AUTH : short_too ? 14 : OWD_PROBE_BASE_TWAMP))
    return OWD_PROBE_DROP_SHORT;
  if (q->len > OWD_PROBE_MAX || MAX (q->len, OWD_PROBE_BASE) > cap)
    return OWD_PROBE_DROP_LONG;
  if (!within_rate (self, &q->src, q->t2))
    return OWD_PROBE_DROP_RATE;
  if (auth && (*ret_key = key_of (self, q)) == NULL)
    return OWD_PROBE_DROP_AUTH;
  return OWD_PROBE_ANSWERED;
}

/* A TWAMP sender's padding, mostly random, begins where STAMP has its session identifier and then zeros. There are no
 * TLVs in it, nor is it the name of a session. */
static gboolean
is_padded (const guint8 *request, const OwdProbeLayout *from)
{
  guint8 any = 0;

  for (gsize i = from->ssid + 2; i < from->size; i++)
    any |= request[i];
  return any != 0;
}

/* Into zeros: at least as many as OWD_PROBE_BASE_TWAMP, and the whole base packet with a key. */
static void
fill_base (const OwdProbeQuestion *q, const guint8 *request, const OwdProbeLayout *from, const OwdProbeLayout *to,
           guint32 seq, const OwdProbeError *error, guint8 *out)
{
  owd_probe_put32 (out, seq);
  owd_probe_put64 (out + to->stamp, owd_probe_stamp_encode (MAX (q->t3, q->t2), error->ptp));
  owd_probe_put16 (out + to->error, owd_probe_error_encode (error));
  memcpy (out + to->ssid, request + from->ssid, 2);
  owd_probe_put64 (out + to->t2, owd_probe_stamp_encode (q->t2, error->ptp));
  memcpy (out + to->sender_seq, request, 4);
  memcpy (out + to->sender_stamp, request + from->stamp, 8);
  memcpy (out + to->sender_error, request + from->error, 2);
  out[to->ttl] = (guint8) CLAMP (q->ttl, 0, 255);
}

OwdProbeVerdict
owd_probe_reflector_answer (OwdProbeReflector *self, const OwdProbeQuestion *q, guint8 *out, gsize cap,
                            OwdProbeAnswer *ret_answer)
{
  OwdProbeKey *key;
  OwdProbeVerdict verdict = judge (self, q, cap, &key);
  const OwdProbeLayout *from = key != NULL ? &owd_probe_auth_request : &owd_probe_open_request;
  const OwdProbeLayout *to = key != NULL ? &owd_probe_auth_reply : &owd_probe_open_reply;
  guint8 request[OWD_PROBE_BASE_AUTH] = { 0 }; /* what a short request leaves out is zero */
  OwdProbeAnswer answer = { .len = q->len < OWD_PROBE_BASE_TWAMP ? to->size : q->len };
  OwdProbeError error = q->error;
  TlvWork work = { .self = self, .q = q, .answer = &answer };
  gboolean padded;
  guint32 seq;

  if (verdict != OWD_PROBE_ANSWERED) {
    self->counts[verdict]++;
    return verdict;
  }
  memcpy (request, q->data, MIN (q->len, to->size));
  padded = key == NULL && (q->len < OWD_PROBE_BASE || is_padded (request, from));
  if (padded)
    memset (request + from->ssid, 0, from->size - from->ssid);
  error.ptp = work.ptp = owd_probe_error_decode (owd_be16 (request + from->error)).ptp;
  seq = owd_be32 (request);
  if (!self->cfg.stateless) {
    work.session = session_of (self, q, owd_be16 (request + from->ssid));
    work.session->rx++;
    seq = work.session->tx;
    answer.session = (guint32) (work.session - self->sessions);
    answer.generation = work.session->generation;
    answer.seq = seq;
  }
  memset (out, 0, MIN (answer.len, to->size));
  fill_base (q, request, from, to, seq, &error, out);
  if (q->len > to->size) {
    memcpy (out + to->size, q->data + to->size, q->len - to->size);
    if (!padded)
      answer_tlvs (&work, key, out, out + to->size, q->len - to->size);
  }
  if (work.session != NULL && !work.query)
    owd_probe_arrivals_note (&work.session->arrivals, owd_be32 (request));
  if (work.silent) {
    self->counts[OWD_PROBE_DROP_ASKED]++;
    return OWD_PROBE_DROP_ASKED;
  }
  if (work.session != NULL)
    work.session->tx++;
  if (key != NULL)
    owd_probe_key_mac (key, out, to->mac, NULL, 0, out + to->mac);
  self->counts[OWD_PROBE_ANSWERED]++;
  *ret_answer = answer;
  return OWD_PROBE_ANSWERED;
}
