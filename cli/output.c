/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables as text for people, as JSON and CSV for programs. The machine forms give what the database gave; only the text
 * form rounds.
 */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int
table_column (const OwdTable *table, const char *name)
{
  for (guint c = 0; c < table->n_columns; c++)
    if (strcmp (table->names[c], name) == 0)
      return (int) c;
  return -1;
}

const char *
table_cell (const OwdTable *table, guint row, int column)
{
  return column >= 0 ? table->cells[(gsize) row * table->n_columns + (gsize) column] : NULL;
}

double
table_number (const OwdTable *table, guint row, int column)
{
  const char *cell = table_cell (table, row, column);

  return cell != NULL ? g_ascii_strtod (cell, NULL) : NAN;
}

int
decimals_for (double max)
{
  return max < 10 ? 3 : max < 1000 ? 2 : 1;
}

/* ---- text -------------------------------------------------------------------------------------- */

static int
column_decimals (const OwdTable *table, int column)
{
  double max = 0;

  for (guint r = 0; r < table->n_rows; r++) {
    double v = fabs (table_number (table, r, column));

    if (v > max) /* not for NAN */
      max = v;
  }
  return decimals_for (max);
}

static gboolean
is_empty (const OwdTable *table, int column)
{
  for (guint r = 0; r < table->n_rows; r++)
    if (table_cell (table, r, column) != NULL)
      return FALSE;
  return TRUE;
}

/* 2026-11-22T06:46:54.5Z to "2026-11-22 06:46:54" or "06:46:54.5". */
static char *
time_cell (const char *cell, CellStyle style)
{
  char *text;

  if (strlen (cell) < 20)
    return g_strdup (cell);
  if (style == CELL_CLOCK)
    return g_strndup (cell + 11, strlen (cell + 11) - 1);
  text = g_strndup (cell, 19);
  text[10] = ' ';
  return text;
}

static char *
text_cell (const OwdTable *table, guint row, int column, CellStyle style, int decimals)
{
  const char *cell = table_cell (table, row, column);

  if (cell == NULL)
    return g_strdup ("-");
  switch (style) {
  case CELL_MS:
    return g_strdup_printf ("%.*f", decimals, table_number (table, row, column));
  case CELL_TIME:
  case CELL_CLOCK:
    return time_cell (cell, style);
  case CELL_TEXT:
  case CELL_COUNT:
    break;
  }
  return g_strdup (cell);
}

/* A column made ready: row 0 is the heading. */
typedef struct {
  char **cells;
  glong width;
  gboolean left;
} TextColumn;

static void
text_column_free (gpointer data)
{
  TextColumn *self = data;

  g_strfreev (self->cells);
  g_free (self);
}

static TextColumn *
text_column_new (const OwdTable *table, int column, const CliColumn *spec)
{
  TextColumn *self = g_new0 (TextColumn, 1);
  int decimals = spec->style == CELL_MS ? column_decimals (table, column) : 0;

  self->left = spec->style == CELL_TEXT;
  self->cells = g_new0 (char *, (gsize) table->n_rows + 2);
  self->cells[0] = g_strdup (spec->heading);
  for (guint r = 0; r < table->n_rows; r++)
    self->cells[r + 1] = text_cell (table, r, column, spec->style, decimals);
  for (guint r = 0; r <= table->n_rows; r++)
    self->width = MAX (self->width, g_utf8_strlen (self->cells[r], -1));
  return self;
}

static void
append_cell (GString *line, const TextColumn *column, guint row)
{
  glong blanks = column->width - g_utf8_strlen (column->cells[row], -1);

  if (!column->left)
    g_string_append_printf (line, "%*s", (int) blanks, "");
  g_string_append (line, column->cells[row]);
  if (column->left)
    g_string_append_printf (line, "%*s", (int) blanks, "");
}

void
print_text (const OwdTable *table, const CliColumn *columns, gsize n, guint indent)
{
  g_autoptr (GPtrArray) ready = g_ptr_array_new_with_free_func (text_column_free);

  for (gsize i = 0; i < n; i++) {
    int column = table_column (table, columns[i].column);

    if (column >= 0 && !(columns[i].optional && is_empty (table, column)))
      g_ptr_array_add (ready, text_column_new (table, column, &columns[i]));
  }
  for (guint r = 0; r <= table->n_rows; r++) {
    g_autoptr (GString) line = g_string_new (NULL);

    for (guint c = 0; c < ready->len; c++) {
      g_string_append_printf (line, "%*s", (int) (c == 0 ? indent : 2), "");
      append_cell (line, g_ptr_array_index (ready, c), r);
    }
    puts (g_strchomp (line->str));
  }
}

/* ---- machine forms ----------------------------------------------------------------------------- */

static void
print_json_string (const char *text)
{
  putchar ('"');
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '"' || *p == '\\')
      printf ("\\%c", *p);
    else if ((guchar) *p < 0x20)
      printf ("\\u%04x", (guint) (guchar) *p);
    else
      putchar (*p);
  putchar ('"');
}

/* JSON has no NaN and no Infinity. */
static gboolean
is_json_number (const char *text)
{
  return g_ascii_isdigit (text[0]) || (text[0] == '-' && g_ascii_isdigit (text[1]));
}

void
print_json (const OwdTable *table)
{
  putchar ('[');
  for (guint r = 0; r < table->n_rows; r++) {
    printf ("%s\n{", r > 0 ? "," : "");
    for (guint c = 0; c < table->n_columns; c++) {
      const char *cell = table_cell (table, r, (int) c);

      printf ("%s", c > 0 ? "," : "");
      print_json_string (table->names[c]);
      putchar (':');
      if (cell == NULL || (table->numeric[c] && !is_json_number (cell)))
        printf ("null");
      else if (table->numeric[c] || table->json[c])
        printf ("%s", cell);
      else
        print_json_string (cell);
    }
    putchar ('}');
  }
  puts (table->n_rows > 0 ? "\n]" : "]");
}

static void
print_csv_field (const char *text)
{
  if (strpbrk (text, ",\"\r\n") == NULL) {
    printf ("%s", text);
    return;
  }
  putchar ('"');
  for (const char *p = text; *p != '\0'; p++)
    printf (*p == '"' ? "\"\"" : "%c", *p);
  putchar ('"');
}

void
print_csv (const OwdTable *table)
{
  for (guint c = 0; c < table->n_columns; c++) {
    printf ("%s", c > 0 ? "," : "");
    print_csv_field (table->names[c]);
  }
  printf ("\r\n");
  for (guint r = 0; r < table->n_rows; r++) {
    for (guint c = 0; c < table->n_columns; c++) {
      const char *cell = table_cell (table, r, (int) c);

      printf ("%s", c > 0 ? "," : "");
      print_csv_field (cell != NULL ? cell : "");
    }
    printf ("\r\n");
  }
}

gboolean
print_machine (const Cli *cli, const OwdTable *table)
{
  if (cli->format == CLI_JSON)
    print_json (table);
  else if (cli->format == CLI_CSV)
    print_csv (table);
  return cli->format != CLI_TEXT;
}
