/* stream.h - the entries of a real directory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_INDEX_STREAM_H
#define PTOVERLAY_VIEW_INDEX_STREAM_H

#include "../overlay.h"

/* stream.c */
/* A stream of its own over the directory: 0 or -errno. */
int open_stream(int dir, DIR **stream);
/* *entry is NULL at the end.  0 or -errno. */
int read_stream(DIR *stream, const struct dirent **entry);
void close_stream(DIR **stream);
#define STREAM __attribute__((cleanup(close_stream))) DIR

#endif
