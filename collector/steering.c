/* SPDX-License-Identifier: Apache-2.0
 *
 * The filter program, in classic BPF: it needs no rights, and every kernel of the last ten years takes it.
 *
 *   h = hash of the source address
 *   w = worker of h
 *   per worker: h in back[]: 2w + 1; only_known and h not in known[]: 2w + 1; else 2w
 *
 * A list is searched by halves, down to LEAF entries that are compared one by one. Conditional jumps reach 255
 * instructions, plain ones any distance; so a half is left by a plain jump.
 *
 * Cost: in the kernel about 1 ns per instruction on the way, 20 of them without rules; 30 with 1,000 known sources.
 */
#include "steering.h"
#include "address.h"
#include "owd-wire.h"

#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LEAF 8

struct OwdSteering {
  guint workers;
  GMutex lock; /* guards rules, and the order in which programs are attached */
  OwdSteeringRule *rules;
};

typedef GArray Code; /* of struct sock_filter */

static void
emit (Code *code, guint op, guint32 k, guint jt, guint jf)
{
  struct sock_filter one = { .code = (guint16) op, .jt = (guint8) jt, .jf = (guint8) jf, .k = k };

  g_array_append_val (code, one);
}

static void
emit_return (Code *code, guint socket)
{
  emit (code, BPF_RET | BPF_K, socket, 0, 0);
}

/* A jump whose target comes later. Returns its place for land(). */
static guint
emit_jump (Code *code)
{
  emit (code, BPF_JMP | BPF_JA, 0, 0, 0);
  return code->len - 1;
}

static void
land (Code *code, guint jump)
{
  g_array_index (code, struct sock_filter, jump).k = code->len - jump - 1;
}

/* A has the hash. Returns hit for one of the n sorted, else jumps; the jumps' places go to misses. */
static void
emit_search (Code *code, const guint32 *sorted, guint n, guint hit, GArray *misses)
{
  guint jump, half = n / 2;

  if (n > LEAF) {
    emit (code, BPF_JMP | BPF_JGE | BPF_K, sorted[half], 0, 1);
    jump = emit_jump (code);
    emit_search (code, sorted, half, hit, misses);
    land (code, jump);
    emit_search (code, sorted + half, n - half, hit, misses);
    return;
  }
  for (guint i = 0; i < n; i++)
    emit (code, BPF_JMP | BPF_JEQ | BPF_K, sorted[i], n - i, 0);
  jump = emit_jump (code);
  g_array_append_val (misses, jump);
  emit_return (code, hit);
}

static void
emit_list (Code *code, const guint32 *sorted, guint n, guint hit)
{
  g_autoptr (GArray) misses = g_array_new (FALSE, FALSE, sizeof (guint));

  if (n == 0)
    return;
  emit_search (code, sorted, n, hit, misses);
  for (guint i = 0; i < misses->len; i++)
    land (code, g_array_index (misses, guint, i));
}

static void
emit_worker (Code *code, const OwdSteeringRule *rule, guint worker)
{
  guint front = 2 * worker, back = front + 1;

  emit (code, BPF_LD | BPF_MEM, 0, 0, 0);
  emit_list (code, rule->back, rule->n_back, back);
  if (rule->only_known)
    emit_list (code, rule->known, rule->n_known, front);
  emit_return (code, rule->only_known ? back : front);
}

static gboolean
attach (OwdSteering *self, const int *fds, guint n_fds)
{
  g_autoptr (GArray) code = g_array_new (FALSE, FALSE, sizeof (struct sock_filter));
  struct sock_fprog program;
  gboolean ok = TRUE;

  g_array_set_size (code, OWD_SOCKET_HASH_CODE);
  owd_socket_hash_code ((struct sock_filter *) (void *) code->data);
  emit (code, BPF_ST, 0, 0, 0);
  emit (code, BPF_ALU | BPF_RSH | BPF_K, 16, 0, 0);
  emit (code, BPF_ALU | BPF_MOD | BPF_K, self->workers, 0, 0);
  for (guint w = 0; w < self->workers; w++) {
    guint jump;

    emit (code, BPF_JMP | BPF_JEQ | BPF_K, w, 1, 0);
    jump = emit_jump (code);
    emit_worker (code, &self->rules[w], w);
    land (code, jump);
    /* A still has the worker's number on this way */
  }
  emit_return (code, 0);
  program = (struct sock_fprog){ .len = (gushort) code->len, .filter = (struct sock_filter *) (void *) code->data };
  for (guint i = 0; i < n_fds; i++)
    ok = setsockopt (fds[i], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0 && ok;
  return ok;
}

static int
compare (const void *a, const void *b)
{
  guint32 x, y;

  memcpy (&x, a, sizeof x);
  memcpy (&y, b, sizeof y);
  return x < y ? -1 : x > y;
}

/* ---- public ------------------------------------------------------------------------------------ */

OwdSteering *
owd_steering_new (guint workers)
{
  OwdSteering *self = g_atomic_rc_box_new0 (OwdSteering);

  self->workers = workers;
  self->rules = g_new0 (OwdSteeringRule, workers);
  g_mutex_init (&self->lock);
  return self;
}

OwdSteering *
owd_steering_ref (OwdSteering *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear_steering (gpointer data)
{
  OwdSteering *self = data;

  g_mutex_clear (&self->lock);
  g_free (self->rules);
}

void
owd_steering_unref (OwdSteering *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, clear_steering);
}

guint
owd_steering_workers (const OwdSteering *self)
{
  return self->workers;
}

guint
owd_steering_known_max (const OwdSteering *self)
{
  return OWD_STEERING_KNOWN_MAX / self->workers;
}

guint32
owd_steering_hash (const OwdAddr *addr)
{
  guint32 words = owd_be32 (addr->b + 12);

  if (!owd_addr_is_v4 (addr))
    words ^= owd_be32 (addr->b) ^ owd_be32 (addr->b + 4) ^ owd_be32 (addr->b + 8);
  return words * OWD_SOCKET_HASH_FACTOR;
}

gboolean
owd_steering_set (OwdSteering *self, guint worker, const OwdSteeringRule *rule, const int *fds, guint n_fds)
{
  OwdSteeringRule *own = &self->rules[worker];
  gboolean ok;

  g_mutex_lock (&self->lock);
  *own = *rule;
  own->n_known = MIN (own->n_known, owd_steering_known_max (self));
  qsort (own->back, own->n_back, sizeof own->back[0], compare);
  qsort (own->known, own->n_known, sizeof own->known[0], compare);
  ok = attach (self, fds, n_fds);
  g_mutex_unlock (&self->lock);
  return ok;
}

gboolean
owd_steering_attach (OwdSteering *self, int fd)
{
  gboolean ok;

  g_mutex_lock (&self->lock);
  ok = attach (self, &fd, 1);
  g_mutex_unlock (&self->lock);
  return ok;
}
