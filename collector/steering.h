/* SPDX-License-Identifier: Apache-2.0
 *
 * Which socket the kernel hands a datagram to. The UDP sockets of one address are a SO_REUSEPORT group: for each worker
 * a front socket and a back socket, in this order. A filter program picks one by the datagram's source address: the
 * worker by a hash of it, the back socket for sources that are set back (fair.h decides who).
 *
 * One object for all workers and addresses; owd_steering_set() may be called from any thread.
 */
#ifndef OWD_STEERING_H
#define OWD_STEERING_H

#include "owd-flow.h"

G_BEGIN_DECLS

#define OWD_STEERING_BACK_MAX 64    /* sources that a worker sets back by name */
#define OWD_STEERING_KNOWN_MAX 1024 /* sources that only_known can tell, of all workers together */

typedef struct OwdSteering OwdSteering;

/* Who of a worker's sources goes to its back socket. Sources are given by owd_steering_hash(). */
typedef struct {
  guint n_back, n_known;
  gboolean only_known; /* everybody is set back but known[] */
  guint32 back[OWD_STEERING_BACK_MAX];
  guint32 known[OWD_STEERING_KNOWN_MAX];
} OwdSteeringRule;

/* workers: 1..64. Returns: (transfer full), reference-counted. */
OwdSteering *owd_steering_new (guint workers);
OwdSteering *owd_steering_ref (OwdSteering *self);
void owd_steering_unref (OwdSteering *self); /* NULL is fine */
guint owd_steering_workers (const OwdSteering *self);
/* Of a worker's known[]: its part of OWD_STEERING_KNOWN_MAX. */
guint owd_steering_known_max (const OwdSteering *self);
/* As the kernel's program computes it: no two IPv4 addresses share one, IPv6 addresses hardly ever. */
guint32 owd_steering_hash (const OwdAddr *addr);
/* rule: copied; its order does not matter. fds: one socket of each group; the new program is theirs at once. FALSE and
 * errno: the kernel refused. */
gboolean owd_steering_set (OwdSteering *self, guint worker, const OwdSteeringRule *rule, const int *fds, guint n_fds);
/* Gives the group of fd the present program. FALSE and errno: the kernel refused. */
gboolean owd_steering_attach (OwdSteering *self, int fd);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdSteering, owd_steering_unref)

G_END_DECLS

#endif
