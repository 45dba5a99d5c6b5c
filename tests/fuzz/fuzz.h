/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OWD_FUZZ_H
#define OWD_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* What libFuzzer, or replay.c in its place, calls. Returns 0. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#endif
