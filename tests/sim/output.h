/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a run goes: a capture file, the network, and the truth beside it. README.md describes the files.
 */
#ifndef OWD_SIM_OUTPUT_H
#define OWD_SIM_OUTPUT_H

#include "owd-sim.h"

#include <stdio.h>

/* ---- capture: nanosecond pcap, Ethernet, IPv4, UDP to 198.19.255.1:2055 ---- */

gboolean sim_pcap_head (FILE *file);
gboolean sim_pcap_datagram (FILE *file, const OwdAddr *from, const OwdSimDatagram *datagram);

/* ---- truth ---- */

typedef struct {
  FILE *flows;
  GPtrArray *names; /* char *, by exporter */
} SimTruthFile;

/* Name of an observation point as owd.samples has it: address, address#domain where an address has several domains.
 * Returns: (transfer full). */
GPtrArray *sim_point_names (const OwdSimConfig *config);
/* PREFIX.flows.tsv. NULL with error. */
SimTruthFile *sim_truth_open (const char *prefix, const OwdSimConfig *config, GError **error);
void sim_truth_row (void *self, const OwdSimTruth *row); /* an OwdSimTruthSink */
/* FALSE with error: rows may be missing. */
gboolean sim_truth_close (SimTruthFile *self, GError **error);
/* PREFIX.exporters.tsv, at the end of a run. */
gboolean sim_truth_exporters (const char *prefix, const char *scenario, const OwdSimConfig *config, const OwdSim *sim,
                              GError **error);

/* ---- network ---- */

/* Sends in real time, each exporter from its own address. to: ADDRESS:PORT. stop: set by a signal. */
gboolean sim_live (OwdSim *sim, const OwdSimConfig *config, const char *to, const volatile gint *stop, GError **error);

#endif
