/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway events: what was raised, what still lasts, and what it rests on.
 */
#include "cli.h"

#include <stdio.h>

typedef struct {
  Cli cli;
  gboolean open_only;
} Events;

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  static const CliColumn columns[] = {
    { "raised", "raised (UTC)", CELL_TIME, FALSE },
    { "cleared", "cleared (UTC)", CELL_TIME, FALSE },
    { "kind", "kind", CELL_TEXT, FALSE },
    { "src", "from", CELL_TEXT, TRUE },
    { "dst", "to", CELL_TEXT, TRUE },
    { "finding", "finding", CELL_TEXT, FALSE },
  };
  const Events *self = (const Events *) cli;
  const char *from = cli->from != NULL || self->open_only ? cli->from : "-1 d";
  g_autoptr (OwdTable) table = owd_store_list_events (store, from, cli->to, self->open_only, error);

  if (table == NULL)
    return OWD_EXIT_FAILED;
  if (print_machine (cli, table))
    return table->n_rows > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
  if (table->n_rows == 0)
    return cli_nothing (self->open_only ? "no event lasts" : "no event in this range");
  print_text (table, columns, G_N_ELEMENTS (columns), 0);
  return OWD_EXIT_DONE;
}

int
cmd_events (int argc, char **argv)
{
  Events self = { 0 };
  const GOptionEntry own[]
      = { { "open", 0, 0, G_OPTION_ARG_NONE, &self.open_only, "Only events that still last", NULL },
          { "from", 0, 0, G_OPTION_ARG_STRING, &self.cli.from,
            "Begin of the range, e.g. '2026-11-22 06:00' (UTC), or '-15 min' before the watermark (default: -1 d)",
            "TIME" },
          { "to", 0, 0, G_OPTION_ARG_STRING, &self.cli.to, "End of the range (default: none)", "TIME" },
          { 0 } };
  int status
      = cli_start (&self.cli, CLI_WITH_FORMAT, own, "", "Events that lasted at any time of a range.", 0, &argc, &argv);

  if (status < 0)
    status = cli_run (&self.cli, report);
  cli_clear (&self.cli);
  return status;
}
