/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside oneway-correlator: program, workers and partitions, each with what it owns.
 *
 *   main.c       settings, log, schema, signals: starts workers and waits for them
 *   worker.c     a thread, its database connection and its partitions; absence of the database
 *   partition.c  from blocks of the log to committed samples
 *   points.c     names of observation points, rows of owd.exporters
 *   keeper.c     a thread that rolls up what was delivered, and drops what is old
 */
#ifndef OWD_CORRELATOR_PROGRAM_H
#define OWD_CORRELATOR_PROGRAM_H

#include "owd-correlator.h"
#include "owd-flowlog.h"
#include "owd-pace.h"
#include "owd-program.h"
#include "owd-store.h"

#define PROGRAM "oneway-correlator"

typedef struct Program Program;
typedef struct Worker Worker;

typedef struct {
  Worker *worker;
  guint part;
  OwdLogReader *reader;
  OwdCorrelator *engine;
  GArray *uses;     /* OwdProfileUse: from where on which profiles count */
  guint next_use;   /* the first of them that the engine has not been told of */
  GArray *shares;   /* OwdShareUse: from where on what share of the flows is kept */
  guint next_share; /* likewise */
  OwdPace pace;
  guint absences;    /* the worker's, when the pace was last looked at */
  gint64 asked_us;   /* when new profiles were looked for */
  GArray *samples;   /* OwdSample, with point numbers of the worker */
  GArray *counts;    /* OwdCount, likewise */
  GArray *point_of;  /* guint32: engine state -> point number of the worker */
  OwdMark committed; /* what the database has */
  guint64 offset;    /* behind the last block that the engine has seen */
  OwdTime log_time;
  guint64 checkpoint_at; /* offset of the last checkpoint */
  guint64 checkpoint_bytes;
  gint64 committed_us, checkpoint_us; /* monotonic clock */
  double kept;                        /* share of flows, as of the last commit */
} Part;

struct Worker {
  Program *program;
  guint index;
  GThread *thread;
  OwdStore *store;
  GPtrArray *parts;          /* Part */
  GPtrArray *points;         /* OwdStateKey by point number */
  GHashTable *point_numbers; /* OwdStateKey -> number + 1 */
  guint failures;            /* of the database in a row, */
  guint absences;            /* and ever */
  gint64 waited_us;          /* for the log, ever */
  gint64 exporters_us;
  gint64 notified_us; /* when the database told of new profiles */
  GError *error;      /* why the worker ended early */
};

struct Program {
  OwdConfig *config;
  char *log_dir, *db, *state_dir;
  OwdLogInfo info;
  OwdCorrelatorConfig engine;
  gint64 max_lag_ns;               /* 0: whatever it is, nothing is shed */
  gint64 commit_us, checkpoint_us; /* samples wait for a commit this long at most; a checkpoint gets this old */
  gboolean once;
  GPtrArray *workers;    /* Worker */
  int stop_fd, done_fd;  /* eventfds, readable once everybody is to end, and once everybody has */
  gint stop;             /* atomic */
  gint running;          /* atomic: workers that have not ended */
  gint away;             /* atomic: workers whose database is away */
  GMutex lock;           /* guards exporters */
  GHashTable *exporters; /* OwdStateKey -> GArray of OwdCorrelatorState, one per partition */
};

/* worker.c: everybody is to end; are they? */
void program_stop (Program *p);
gboolean program_stopped (Program *p);

Worker *worker_new (Program *p, guint index, guint n_workers);
/* The thread; data: the worker. */
gpointer worker_run (gpointer data);
void worker_free (gpointer data);
/* After an error of the database: is it worth another try? Waits where it has failed before. FALSE: *error stays. */
gboolean worker_try_again (Worker *w, GError **error);
/* The database has answered. */
void worker_is_back (Worker *w);

/* partition.c */
typedef enum { STEP_BUSY, STEP_IDLE, STEP_FAILED } Step;
Part *part_new (Worker *w, guint number);
void part_free (gpointer data);
gboolean part_open (Part *part, GError **error);
/* Works off some blocks, commits what is due. */
Step part_step (Part *part, GError **error);
/* The end of the log, or of the program: commits what is left; --once delivers what still waits. */
gboolean part_finish (Part *part, GError **error);

/* keeper.c */
typedef struct Keeper Keeper;
Keeper *keeper_start (Program *p);
/* The workers have ended: so does the keeper. */
void keeper_end (Keeper *self);
/* Rolls up all that is final; patient: as owd_store_roll() says. */
gboolean keeper_roll (Program *p, OwdStore *store, gboolean patient, GError **error);
/* Raises and clears events over all that is rolled up. */
gboolean keeper_judge (Program *p, OwdStore *store, GError **error);

/* points.c: the program's lock guards what workers know together. */
/* Makes what the engine knows of its exporters known to all, and numbers new ones for this worker. */
void points_note (Part *part);
/* Registers this worker's points, with the names that all states known by now give them. */
gboolean points_register (Worker *w, GError **error);
gboolean points_write_exporters (Worker *w, GError **error);

#endif
