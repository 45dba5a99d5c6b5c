/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of `oneway` share. A command is a function that gets argv from its own name on and returns the
 * exit status.
 */
#ifndef OWD_CLI_H
#define OWD_CLI_H

#include "owd-program.h"
#include "owd-store.h"

#define CLI_PROGRAM "oneway"

int cmd_db (int argc, char **argv);
int cmd_status (int argc, char **argv);
int cmd_doctor (int argc, char **argv);
int cmd_exporters (int argc, char **argv);
int cmd_events (int argc, char **argv);
int cmd_paths (int argc, char **argv);
int cmd_profiles (int argc, char **argv);
int cmd_timeline (int argc, char **argv);
int cmd_matrix (int argc, char **argv);

/* ---- cli.c: options, connection, messages -------------------------------------------------------- */

typedef enum { CLI_TEXT, CLI_JSON, CLI_CSV } CliFormat;

typedef struct {
  char *db;   /* --db */
  char *from; /* --from, --to: NULL where the command has none or they were not given */
  char *to;
  char *format_name;
  char *step; /* --step of timeline */
  gboolean ascii;
  CliFormat format;
  OwdConfig *config;
  char **arguments; /* what is left of the command line; borrowed */
} Cli;

enum { CLI_WITH_FORMAT = 1 << 0, CLI_WITH_RANGE = 1 << 1 };

/* Parses the options that all commands have, those that `with` asks for, and `own` (may be NULL). Then exactly
 * n_arguments must be left in argv behind the command's name. synopsis: "SRC DST". Returns -1 to go on, or the status
 * to exit with. */
int cli_start (Cli *cli, guint with, const GOptionEntry *own, const char *synopsis, const char *summary,
               int n_arguments, int *argc, char ***argv) G_GNUC_WARN_UNUSED_RESULT;
void cli_clear (Cli *cli);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Cli, cli_clear)

/* --db, else ONEWAY_DB, else [database] conninfo; "" leaves it to libpq's environment. */
const char *cli_conninfo (const Cli *cli);
/* Opens the store and lets the command report from it: an error becomes a message and an exit status. */
typedef int (*CliReport) (const Cli *cli, OwdStore *store, GError **error);
int cli_run (const Cli *cli, CliReport report);
/* Says on stderr why there is nothing to report. Returns OWD_EXIT_NOTHING. */
int cli_nothing (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Whether stdout takes more than ASCII: --ascii, or a locale that says otherwise, forbids it. */
gboolean cli_unicode (const Cli *cli);
/* Columns of the terminal, $COLUMNS, else 80; within 60 and 200. */
guint cli_width (void);

/* ---- output.c: tables ---------------------------------------------------------------------------- */

typedef enum {
  CELL_TEXT,  /* to the left */
  CELL_COUNT, /* as it is, to the right */
  CELL_MS,    /* as many decimals as its column needs */
  CELL_TIME,  /* date and time to the second */
  CELL_CLOCK, /* time of day only, with what fraction there is */
} CellStyle;

typedef struct {
  const char *column; /* name in the table */
  const char *heading;
  CellStyle style;
  gboolean optional; /* left out where every cell is NULL */
} CliColumn;

/* Columns that do not exist are left out. indent: blanks before each line. */
void print_text (const OwdTable *table, const CliColumn *columns, gsize n, guint indent);
/* JSON (an array, one object per line) or CSV (RFC 4180, first line: names). */
void print_json (const OwdTable *table);
void print_csv (const OwdTable *table);
/* Does one of the two if the format asks for it; FALSE: it is text, the caller's matter. */
gboolean print_machine (const Cli *cli, const OwdTable *table);
/* Index of a column, or -1. */
int table_column (const OwdTable *table, const char *name);
/* A cell, or NULL. column: may be -1. */
const char *table_cell (const OwdTable *table, guint row, int column);
/* A number, or NAN where SQL has NULL. */
double table_number (const OwdTable *table, guint row, int column);
/* Decimals for values up to max in size: three to four digits in all. */
int decimals_for (double max);

/* ---- plot.c -------------------------------------------------------------------------------------- */

typedef struct {
  OwdTime at;            /* begin of the bin */
  double low, mid, high; /* p05, p50, p95 in ms */
} PlotBin;

typedef struct {
  OwdTime from, to;    /* the horizontal axis */
  gint64 step_ns;      /* width of a bin */
  const PlotBin *bins; /* in order of time */
  gsize n;
  guint width, height; /* characters, axes included */
  gboolean unicode;
} Plot;

/* Characters of a plot of this width that show data. */
guint plot_columns (guint width);
void plot_print (const Plot *plot);

/* ---- span.c: times and steps that people like ----------------------------------------------------- */

/* The smallest of 1, 2, 5, 10, ... ms, 1, 2, 5, 10, 15, 30 s, min, 1, 2, 3, 6, 12 h, days that is at least this. */
gint64 nice_step (gint64 at_least_ns);
/* "5 s", "15 min": read by PostgreSQL too. Returns: (transfer full). */
char *step_text (gint64 step_ns);
/* Down to a multiple of step since 1970 UTC. */
OwdTime floor_to (OwdTime t, gint64 step_ns);
/* ISO 8601 of 2026-11-22T06:46:54.5Z as cells have it; OWD_TIME_NONE where it is not. */
OwdTime parse_instant (const char *text);
/* To the second, or to the fraction that the step needs: "06:46:54", "06:46", "11-22". Returns: (transfer full). */
char *clock_text (OwdTime t, gint64 step_ns);

#endif
