/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers that stay the same for ever: xoshiro256** (Blackman and Vigna), seeded by splitmix64. One generator
 * per purpose, so that drawing more in one place leaves the others alone.
 */
#ifndef OWD_SIM_RNG_H
#define OWD_SIM_RNG_H

#include <glib.h>
#include <math.h>

typedef struct {
  guint64 s[4];
} SimRng;

static inline guint64
sim_mix (guint64 *state)
{
  guint64 z = (*state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* A number that depends on both, to derive seeds and to make noise that is a function of time. */
static inline guint64
sim_hash (guint64 a, guint64 b)
{
  guint64 state = a ^ b * G_GUINT64_CONSTANT (0xd6e8feb86659fd93);

  sim_mix (&state);
  return sim_mix (&state);
}

static inline SimRng
sim_rng (guint64 seed, guint64 stream)
{
  guint64 state = sim_hash (seed, stream);
  SimRng rng;

  for (guint i = 0; i < 4; i++)
    rng.s[i] = sim_mix (&state);
  return rng;
}

static inline guint64
sim_rotl (guint64 x, guint k)
{
  return x << k | x >> (64 - k);
}

static inline guint64
sim_rng_next (SimRng *rng)
{
  guint64 *s = rng->s, result = sim_rotl (s[1] * 5, 7) * 9, t = s[1] << 17;

  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = sim_rotl (s[3], 45);
  return result;
}

/* [0, 1) */
static inline double
sim_rng_unit (SimRng *rng)
{
  return (double) (sim_rng_next (rng) >> 11) * 0x1p-53;
}

/* [0, n); n at least 1. */
static inline guint32
sim_rng_below (SimRng *rng, guint32 n)
{
  return (guint32) ((sim_rng_next (rng) >> 32) * n >> 32);
}

/* [lo, hi) */
static inline gint64
sim_rng_between (SimRng *rng, gint64 lo, gint64 hi)
{
  return lo + (gint64) (sim_rng_unit (rng) * (double) (hi - lo));
}

static inline double
sim_rng_double (SimRng *rng, double lo, double hi)
{
  return lo + sim_rng_unit (rng) * (hi - lo);
}

static inline gint64
sim_rng_exp (SimRng *rng, gint64 mean)
{
  return mean > 0 ? (gint64) (-log1p (-sim_rng_unit (rng)) * (double) mean) : 0;
}

static inline gboolean
sim_rng_chance (SimRng *rng, double p)
{
  return p > 0 && sim_rng_unit (rng) < p;
}

#endif
