/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe send, inside: one thread, any number of targets, one way of probing.
 *
 *   send.c    options, set-up, report
 *   sender.c  the loop: who is due, when to look at sockets
 *   stamp.c, rawtcp.c, connect.c   the ways: how one probe leaves, and what an arrival means
 */
#ifndef OWD_PROBE_SENDER_H
#define OWD_PROBE_SENDER_H

#include "keyring.h"
#include "net.h"
#include "pace.h"
#include "program.h"
#include "results.h"

enum {
  OWD_PROBE_TX_RING = 8192, /* departures whose stamps are under way, over all sockets of a family */
};

typedef struct OwdProbeSender OwdProbeSender;

typedef struct {
  char *text;
  OwdProbeEndpoint to;
  OwdAddr addr;
  guint16 port, ssid;
  guint family; /* 0: IPv4, 1: IPv6 */
  guint size;
  OwdProbeLabel label;
  OwdProbeSchedule schedule;
  OwdTime due;
  gint64 left;   /* packets still to send; -1: no end */
  guint32 sent;  /* queries included; STAMP */
  guint32 token; /* TCP: where the numbering of its probes begins */
  guint64 unreachable;
  guint16 *sports; /* by sequence number & sport_mask; NULL: all leave from label.sport */
  guint32 sport_mask;
  OwdProbeSession *session;
  OwdProbeSender *sender;
} OwdProbeTarget;

typedef struct {
  guint target;
  guint32 seq;
} OwdProbeDeparture;

/* A socket with what is under way from it. */
typedef struct {
  OwdProbeSocket *socket;
  OwdProbeDeparture *departures; /* by tx id & ring_mask */
  guint32 ring_mask;
  guint16 port;
} OwdProbeChannel;

typedef struct {
  /* Sends probe next_seq of the target and tells its session. Returns: 0, or an errno: nothing has left. */
  int (*send) (OwdProbeSender *self, guint target);
  /* Sends query next_seq, with these fields of its TLV, and tells the session; NULL where sessions never ask. */
  void (*ask) (OwdProbeSender *self, guint target, guint32 run, guint32 first);
  /* Something has happened on what was added to epoll_fd with this number. */
  void (*ready) (OwdProbeSender *self, guint32 id);
  void (*tick) (OwdProbeSender *self);  /* now and then; NULL: nothing to do */
  void (*clear) (OwdProbeSender *self); /* NULL: nothing to do */
} OwdProbeWay;

struct OwdProbeSender {
  const OwdProbeWay *way;
  OwdProbeRequest request; /* STAMP: what is the same in every packet */
  OwdProbeTcp tcp;
  OwdProbeFormat format;
  gboolean packets, live, dirty;
  gint64 timeout_ns, near_ns;
  OwdTime end; /* steady; G_MAXINT64: none */
  OwdProbeKeyring *keyring;
  OwdProbePorts *held[2];       /* raw TCP */
  OwdProbeChannel *channels[2]; /* n_channels each, IPv4 and IPv6; NULL where no target needs it */
  guint n_channels;
  gpointer connections; /* connect.c's */
  int epoll_fd, signal_fd;
  OwdProbeBatch *batch;
  OwdProbePace pace;
  OwdProbeError clock_error;
  OwdTime next_tick, run;
  gboolean stop;
  GPtrArray *targets; /* of OwdProbeTarget */
  guint *heap;        /* of target indices, the next due on top */
  guint n_heap;
  guint first_ssid; /* of target 0 */
  guint64 stray, skipped;
  OwdProbeWriter *writer; /* NULL: results are printed only */
};

/* ---- sender.c ---------------------------------------------------------------------------------- */

OwdProbeTarget *owd_probe_sender_target (const OwdProbeSender *self, guint i);
/* Begins with all targets spread over the first interval. */
void owd_probe_sender_start (OwdProbeSender *self, const OwdProbeSchedule *schedule, gint64 duration_ns);
/* Until everything is sent and answered, or a signal comes. */
void owd_probe_sender_run (OwdProbeSender *self);
/* A sample's way to the output; user: OwdProbeTarget. */
void owd_probe_sender_on_sample (const OwdProbeSample *sample, gpointer user);

/* For the ways. */
gboolean owd_probe_sender_watch (OwdProbeSender *self, int fd, guint32 id, guint32 events);
OwdProbeChannel *owd_probe_sender_channel (OwdProbeSender *self, guint32 id);
/* Departure stamps and ICMP errors of a channel. */
void owd_probe_sender_take_events (OwdProbeSender *self, OwdProbeChannel *channel);
/* Sends through a channel, with a second try where an earlier packet's ICMP error was in the way. */
int owd_probe_sender_transmit (OwdProbeSender *self, OwdProbeChannel *channel, const OwdProbeEndpoint *to,
                               OwdProbeDeparture what, const void *data, gsize len);
/* Which of n source ports is used for packet seq of a target: in turn, but targets, which may be sizes of the same
 * host, are never at the same one. */
guint owd_probe_sender_turn (const OwdProbeSender *self, guint target, guint32 seq, guint n);
/* Notes where probe seq leaves from; before the session is told. */
void owd_probe_sender_note_port (OwdProbeTarget *t, guint32 seq, guint16 sport);
void owd_probe_sender_unreachable (OwdProbeTarget *t, const char *what, int code);

/* ---- the ways ---------------------------------------------------------------------------------- */

typedef struct {
  const char *source; /* ADDR[:PORT], NULL: the system's choice */
  guint8 tos;
  guint ports;  /* source ports, used in turn */
  guint window; /* probes under way, per target */
} OwdProbeWayOptions;

gboolean owd_probe_stamp_open (OwdProbeSender *self, const OwdProbeWayOptions *options, GError **error);
gboolean owd_probe_rawtcp_open (OwdProbeSender *self, const OwdProbeWayOptions *options, GError **error);
gboolean owd_probe_connect_open (OwdProbeSender *self, const OwdProbeWayOptions *options, GError **error);

/* ---- like.c ------------------------------------------------------------------------------------ */

typedef struct {
  gint64 interval_ns;
  guint size;
  guint64 packets;
  char *flow; /* text */
} OwdProbeLike;

/* The UDP flow with the most packets in a capture: median distance and median payload. */
gboolean owd_probe_like (const char *path, OwdProbeLike *ret, GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
