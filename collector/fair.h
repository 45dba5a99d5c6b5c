/* SPDX-License-Identifier: Apache-2.0
 *
 * Who has to stand back when a worker is asked for more than it can do. An engine: no socket, no clock.
 *
 * The worker says what each datagram cost and, now and then, whether its receive buffers are filling up. When they are,
 * sources that take more than their share (max-min fair: nobody who asks for less than the share loses anything to
 * somebody who asks for more) are set back: their datagrams come through another socket (steering.h), which is served
 * when the others are done. They lose only what there is no time for; all of it is counted.
 */
#ifndef OWD_FAIR_H
#define OWD_FAIR_H

#include "steering.h"

G_BEGIN_DECLS

typedef struct OwdFair OwdFair;

/* One source that is or was set back; addr zero: all sources that are not known, together. */
typedef struct {
  OwdAddr addr;
  guint32 hash;
  gboolean back;     /* now */
  guint64 times;     /* it was set back so often */
  guint64 datagrams; /* that came from it while it was set back */
  guint64 dropped;   /* its part of those that the kernel dropped meanwhile */
} OwdFairSource;

typedef struct {
  gint64 now_us;        /* monotonic */
  gboolean pressed;     /* the front sockets' buffers are filling up, or have overflowed */
  guint64 back_dropped; /* datagrams that the kernel dropped at the back sockets, of all time */
} OwdFairLoad;

typedef struct {
  /* Whether this source has shown itself to be an exporter: others are judged together, as their addresses may be
   * invented. */
  gboolean (*is_known) (void *user, const OwdAddr *addr);
  /* Up to n hashes of sources that are known; returns how many. */
  guint (*list_known) (void *user, guint32 *ret_hashes, guint n);
  /* source->back has changed. */
  void (*changed) (void *user, const OwdFairSource *source);
  void *user;
} OwdFairSink;

/* sink: copied. known_max: how many known sources a rule can hold. */
OwdFair *owd_fair_new (const OwdFairSink *sink, guint known_max);
void owd_fair_free (OwdFair *self); /* NULL is fine */
/* A datagram was worked off at this cost (any unit). back: it came from a back socket. */
void owd_fair_charge (OwdFair *self, const OwdAddr *from, guint cost, gboolean back);
/* To be called often. TRUE: owd_fair_rule() is another one now. */
gboolean owd_fair_judge (OwdFair *self, const OwdFairLoad *load);
const OwdSteeringRule *owd_fair_rule (const OwdFair *self);
/* All that were ever set back; the oldest are forgotten when there are too many. */
const OwdFairSource *owd_fair_sources (const OwdFair *self, guint *ret_n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdFair, owd_fair_free)

G_END_DECLS

#endif
