/* SPDX-License-Identifier: Apache-2.0
 *
 * From a block of the log to the engine.
 */
#ifndef OWD_CORRELATOR_FEED_H
#define OWD_CORRELATOR_FEED_H

#include "owd-correlator.h"
#include "owd-flowlog.h"

/* Gives the engine all of a block, and its time. Returns how many records there were. */
guint feed_block (OwdCorrelator *engine, OwdLogBlock *block);

#endif
