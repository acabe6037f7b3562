/* mappings.h - where the text of files is mapped in a process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MAPPINGS_H
#define PTOVERLAY_MAPPINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Of /proc/PID/maps, proc_pid_maps(5). */
struct mappings {
    int fd;
    FILE *lines;        /* NULL: the kernel is asked for one after the other */
    char *line;
    size_t room;
    uint64_t next;      /* the address to go on at */
};
/* Private, readable and executable, not writable, and of a file. */
struct mapping {
    uint64_t begin, end, offset; /* offset: in the file, in bytes */
    dev_t dev;
    ino_t ino;
    const char *path;   /* NULL: mappings_path() asks */
};
/* 0, or -errno. */
int mappings_open(struct mappings *mappings, pid_t pid);
/* The next one, by address; false: there is none. */
bool mappings_next(struct mappings *mappings, struct mapping *mapping);
/* The path that the kernel tells of it, "" if it tells none. */
const char *mappings_path(const struct mappings *mappings, const struct mapping *mapping, char room[PATH_MAX]);
void mappings_close(struct mappings *mappings);

#endif
