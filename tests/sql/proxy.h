/* SPDX-License-Identifier: Apache-2.0
 *
 * A wire between libpq and the server that can be cut at a chosen place: the way to lose a connection inside a commit,
 * every time.
 */
#ifndef PROXY_H
#define PROXY_H

#include <glib.h>

typedef struct Proxy Proxy;

typedef enum {
  PROXY_WHOLE,          /* pass everything */
  PROXY_CUT_BYTES,      /* cut after so many bytes from the client */
  PROXY_CUT_COMMIT,     /* cut before the client's COMMIT reaches the server */
  PROXY_CUT_COMMITTING, /* let COMMIT through, cut at once */
  PROXY_CUT_COMMITTED,  /* let COMMIT through, cut before its answer reaches the client */
} ProxyMode;

/* server_dir: folder of the server's socket. Clients use host=proxy_dir (). */
Proxy *proxy_new (const char *server_dir);
const char *proxy_dir (const Proxy *self);
/* Arms one cut; afterwards the proxy passes everything again. bytes: for PROXY_CUT_BYTES, counted from now. */
void proxy_arm (Proxy *self, ProxyMode mode, gint bytes);
/* Cuts made so far. */
gint proxy_cuts (Proxy *self);
void proxy_free (Proxy *self);

#endif
