/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys from a file, so that no secret is ever on a command line:
 *
 *   [lab-2026]
 *   secret = hex:00112233445566778899aabbccddeeff
 *
 * A section is a key, its name the key's id. secret: "hex:" and hexadecimal digits, else the text itself; at least 16
 * bytes. A reflector takes every key of its file, so that keys can be changed one sender at a time. Group and others
 * must have no access to the file.
 */
#ifndef OWD_PROBE_KEYRING_H
#define OWD_PROBE_KEYRING_H

#include "owd-probe.h"

typedef struct {
  GPtrArray *keys; /* of OwdProbeKey */
} OwdProbeKeyring;

OwdProbeKeyring *owd_probe_keyring_load (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void owd_probe_keyring_free (OwdProbeKeyring *self); /* NULL is fine */
/* id: NULL takes the only key. Returns: (transfer none) */
OwdProbeKey *owd_probe_keyring_get (const OwdProbeKeyring *self, const char *id,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeKeyring, owd_probe_keyring_free)

#endif
