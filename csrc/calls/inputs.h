/* inputs.h - what a run depends on: the paths that it asked the view for, each once a program.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INPUTS_H
#define PTOVERLAY_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

struct call;
struct location;

/* Of a run with PTO_FEATURE_RECORD.  NULL: no memory. */
struct inputs;
struct inputs *inputs_new(void);
void inputs_free(struct inputs *inputs);
/* Writes all of it as struct pto_input, each followed by its path.  0, or -errno. */
int inputs_write(struct inputs *inputs, int fd);

/* The rest is called with the view entered, of a call whose session has inputs. */
/* Operand i has been walked, with this error or 0. */
void inputs_walked(struct call *call, unsigned i, int error);
/* A location that the call came to by itself; kind: PTO_INPUT_*. */
void inputs_note(struct call *call, int kind, const struct location *loc);
/* The socket of this name was talked to, "": one that leads out of the machine's file system was made. */
void inputs_socket(struct call *call, const char *path);
/* The time was asked for. */
void inputs_clock(struct call *call);
/* A walker's `followed`; arg: the call. */
void inputs_followed(void *arg, const struct location *link);

#endif
