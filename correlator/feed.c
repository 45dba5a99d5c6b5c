/* SPDX-License-Identifier: Apache-2.0
 *
 * Items are read some way ahead of the engine, so that it can ask memory for what it will need: with millions of flows
 * waiting each of its look-ups would otherwise stand still for it.
 */
#include "feed.h"

#define AHEAD 16 /* power of two */

typedef struct {
  OwdItemType type;
  OwdHeader header;
  OwdFlow flow;
} Item;

static void
give (OwdCorrelator *engine, const Item *item)
{
  if (item->type == OWD_ITEM_HEADER)
    owd_correlator_header (engine, &item->header);
  else
    (void) owd_correlator_flow (engine, &item->flow);
}

guint
feed_block (OwdCorrelator *engine, OwdLogBlock *block)
{
  Item item[AHEAD];
  guint n = 0, given = 0, flows = 0;

  for (;;) {
    Item *next = &item[n % AHEAD];

    if (n - given == AHEAD)
      give (engine, &item[given++ % AHEAD]);
    if (!owd_log_block_next (block, &next->type, &next->header, &next->flow))
      break;
    if (next->type == OWD_ITEM_FLOW) {
      owd_correlator_expect (engine, &next->flow);
      flows++;
    }
    n++;
  }
  while (given < n)
    give (engine, &item[given++ % AHEAD]);
  owd_correlator_advance (engine, block->time);
  return flows;
}
