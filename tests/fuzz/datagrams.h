/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz input as a sequence of datagrams to one decoder: 16 bits of control (big-endian), then the datagram.
 *
 *   bits 0..10   its length
 *   bit 11       from another port
 *   bit 12       from another address
 *   bit 13       much later
 *   bit 14       leave the header as it is; else version and, for IPFIX, length are put right, so that the fuzzer
 *                need not find them again and again
 *
 * Time is a counter. The decoder's limits are small, so that they are reached. Any log line, the libraries' included,
 * is a finding: a decoder counts, it does not talk.
 */
#ifndef DATAGRAMS_H
#define DATAGRAMS_H

#include "owd-decoder.h"

#include <string.h>

typedef struct {
  guint64 headers, flows;
} FuzzSeen;

static void
fuzz_header (void *user, const OwdHeader *header)
{
  FuzzSeen *seen = user;

  g_assert (header->key.version == 5 || header->key.version == 9 || header->key.version == 10);
  seen->headers++;
}

static void
fuzz_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  FuzzSeen *seen = user;

  g_assert (flow->start_kind < OWD_STAMP_KINDS && flow->end_kind < OWD_STAMP_KINDS);
  g_assert (flow->template_id == 0 || flow->template_id >= 256);
  (void) owd_flow_claim (header, flow, flow->start_kind, flow->start_raw);
  (void) owd_flow_claim (header, flow, flow->end_kind, flow->end_raw);
  seen->flows++;
}

static void
fuzz_books (const OwdDecoder *decoder, const FuzzSeen *seen)
{
  guint64 datagrams = 0, flows = 0;

  for (guint i = 0; i < owd_decoder_n_states (decoder); i++) {
    const OwdStateCounters *c = owd_decoder_state (decoder, i);

    datagrams += c->datagrams;
    flows += c->flows;
    g_assert (c->late_flows <= c->flows && c->reordered <= c->datagrams && c->restarts <= c->datagrams);
  }
  g_assert (flows == seen->flows);
  g_assert (datagrams <= seen->headers); /* replayed ones come twice */
}

static void
fuzz_datagrams (const guint8 *data, gsize size, guint version)
{
  const OwdDecoderLimits limits = { .max_states = 4,
                                    .max_templates = 8,
                                    .template_timeout_ns = 1000 * OWD_NS_PER_S,
                                    .late_bytes = 4096,
                                    .late_timeout_ns = 500 * OWD_NS_PER_S };
  FuzzSeen seen = { 0 };
  const OwdDecoderSink sink = { .header = fuzz_header, .flow = fuzz_flow, .user = &seen };
  OwdDecoder *decoder;
  OwdTime now = 1700000000 * OWD_NS_PER_S;

  (void) g_log_set_always_fatal (G_LOG_LEVEL_MASK);
  decoder = owd_decoder_new (&sink, &limits, NULL);
  while (size >= 2) {
    guint control = (guint) data[0] << 8 | data[1];
    gsize len = MIN (control & 0x7ff, size - 2);
    OwdAddr from = { .b = { 0xfd, control >> 12 & 1 } };
    guint8 *copy = g_memdup2 (data + 2, len); /* its own block: reading past the end shows */

    if (!(control & 1 << 14) && len >= 4) {
      copy[0] = 0;
      copy[1] = (guint8) version;
      if (version == 10) {
        copy[2] = (guint8) (len >> 8);
        copy[3] = (guint8) len;
      }
    }
    now += (control & 1 << 13 ? 600 : 1) * OWD_NS_PER_S;
    (void) owd_decoder_feed (decoder, &from, control >> 11 & 1, now, copy, len);
    g_free (copy);
    data += 2 + len;
    size -= 2 + len;
  }
  fuzz_books (decoder, &seen);
  owd_decoder_free (decoder);
}

#endif
