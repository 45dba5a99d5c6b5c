/* SPDX-License-Identifier: Apache-2.0 */
#include "datagrams.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  fuzz_datagrams (data, size, 9);
  return 0;
}
