/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of information elements that mean something to us: which element fills which field of an OwdFlow,
 * and which is preferred where several could. The plan compiler reads it, the documentation is generated from it.
 */
#ifndef OWD_ELEMENTS_H
#define OWD_ELEMENTS_H

#include "owd-flow.h"

G_BEGIN_DECLS

#define OWD_PEN_REVERSE 29305u    /* RFC 5103: the element of the same number, seen in the other direction */
#define OWD_PEN_CERT 6871u        /* YAF */
#define OWD_PEN_V9 0xfffffffeu    /* ours, never on the wire: v9 field types from 0x8000 on, less that bit */
#define OWD_PEN_SCOPE 0xfffffffdu /* ours, never on the wire: v9 scope types */

/* What is done with an element's value. */
typedef enum {
  OWD_USE_INT,  /* integer of 1 to 8 bytes into the OwdFlow member */
  OWD_USE_OR,   /* the same, or'ed to what other elements say */
  OWD_USE_ADDR, /* address into the member; arg: 4 or 6 */
  OWD_USE_SRC,  /* one end of an address pair; arg: 4 or 6 */
  OWD_USE_DST,
  OWD_USE_START, /* stamp; arg: OwdStampKind */
  OWD_USE_END,
  OWD_USE_AUX,    /* needs a thought per record; arg: OwdAux */
  OWD_USE_OPTION, /* read from options records; arg: OwdOption */
} OwdUse;

/* Values that owd_plan_finish() turns into members. */
typedef enum {
  OWD_AUX_DIRECTION,
  OWD_AUX_ICMP4, /* type * 256 + code */
  OWD_AUX_ICMP6,
  OWD_AUX_ICMP4_TYPE,
  OWD_AUX_ICMP4_CODE,
  OWD_AUX_ICMP6_TYPE,
  OWD_AUX_ICMP6_CODE,
  OWD_AUX_MPLS, /* label stack section: 20 bits label, 3 bits class, 1 bit bottom */
  OWD_AUX_DURATION_MS,
  OWD_AUX_DURATION_US,
  OWD_AUX_REVERSE_MS, /* the reverse direction began so long after the forward one */
  OWD_AUX_SAMPLER,    /* id of the sampler that options data describe */
  OWD_AUX_N,
} OwdAux;

/* What options records tell about their state. */
typedef enum {
  OWD_OPTION_INTERVAL,   /* 1 in N */
  OWD_OPTION_PKT_COUNT,  /* so many packets are taken, */
  OWD_OPTION_PKT_SPACE,  /* then so many are not */
  OWD_OPTION_SIZE,       /* n out of */
  OWD_OPTION_POPULATION, /* N */
  OWD_OPTION_ALGORITHM,  /* OwdSamplingAlgorithm */
  OWD_OPTION_SAMPLER,    /* which sampler */
  OWD_OPTION_INTERFACE,  /* or which interface it is about */
  OWD_OPTION_INIT_MS,
  OWD_OPTION_MESSAGES, /* from here on what the exporter counts itself, in the order of OwdReport */
  OWD_OPTION_RECORDS,
  OWD_OPTION_IGNORED_PACKETS,
  OWD_OPTION_UNSENT_RECORDS,
  OWD_OPTION_UNSENT_PACKETS,
  OWD_OPTION_N,
} OwdOption;

typedef struct {
  guint32 pen;
  guint16 id;
  guint8 use;  /* OwdUse */
  guint8 rank; /* of the elements that fill one member the lowest wins; then the first in the record */
  guint8 arg;
  guint8 size;       /* bytes of the member */
  guint16 offset;    /* of the member in OwdFlow */
  guint32 flags;     /* OWD_FLOW_* that its presence sets */
  const char *name;  /* IANA's or the vendor's name */
  const char *field; /* our field */
} OwdElement;

/* All rows, by (pen, id); an element may have several rows, one after the other. */
const OwdElement *owd_elements (guint *ret_n);
/* First row of the element, or NULL. Further rows follow while (pen, id) stay the same; *ret_n: how many. */
const OwdElement *owd_element_find (guint32 pen, guint16 id, guint *ret_n);

G_END_DECLS

#endif
