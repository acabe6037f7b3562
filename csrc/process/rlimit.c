/* rlimit.c - the resource limits of a process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"
#include "rlimit.h"

#define TEXT 2048   /* bytes of /proc/PID/limits */

/* As /proc/PID/limits names them. fs/proc/base.c */
static const struct {
    int resource;
    const char *name;
} names[] = {
    {RLIMIT_CORE, "\nMax core file size"}, {RLIMIT_LOCKS, "\nMax file locks"}, {RLIMIT_FSIZE, "\nMax file size"},
    {RLIMIT_NOFILE, "\nMax open files"},   {RLIMIT_RSS, "\nMax resident set"},
};

static rlim_t parse(char **at) {
    *at += strspn(*at, " ");
    if (**at != 'u')
        return strtoull(*at, at, 10);
    *at += strcspn(*at, " ");
    return RLIM_INFINITY;
}

/* prlimit(2) asks for CAP_SYS_RESOURCE where the ids differ; this file does not. */
static int read_limit(pid_t pid, int resource, struct rlimit *limit) {
    char text[TEXT], *at = NULL;
    size_t which = 0;
    while (which < sizeof names / sizeof *names && names[which].resource != resource)
        which++;
    if (which < sizeof names / sizeof *names && proc_read(pid, "limits", text, sizeof text))
        at = strstr(text, names[which].name);
    if (!at)
        return -ESRCH;
    at += strlen(names[which].name);
    limit->rlim_cur = parse(&at);
    limit->rlim_max = parse(&at);
    return 0;
}

int rlimit_get(pid_t pid, int resource, struct rlimit *limit) {
    if (prlimit(pid, resource, NULL, limit) == 0)
        return 0;
    return errno == EPERM ? read_limit(pid, resource, limit) : -errno;
}
