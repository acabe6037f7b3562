/* proc.c - what proc(5) tells of a thread.
 *
 * Rule: async-signal-safe, since the guard and the handlers that kill read it too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

#define PATH_SIZE 64    /* of "/proc/TID/name": two numbers and the longest name */

char *proc_number(char *at, unsigned number) {
    char digits[12];
    int n = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while (number /= 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

int proc_open(pid_t tid, const char *name) {
    char path[PATH_SIZE] = "/proc/";
    char *at = proc_number(path + strlen(path), (unsigned)tid);
    if (strlen(name) + 2 > (size_t)(path + sizeof path - at))
        return -1;
    *at++ = '/';
    strcpy(at, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool proc_read(pid_t tid, const char *name, char *text, size_t size) {
    int fd = proc_open(tid, name);
    text[0] = '\0';
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static unsigned digit(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

const char *proc_stat_field(pid_t tid, unsigned field, char *text, size_t size) {
    /* the name may have spaces and brackets in it */
    const char *at = proc_read(tid, "stat", text, size) ? strrchr(text, ')') : NULL;
    for (unsigned i = 2; at && i < field; i++)
        at = strchr(at + 1, ' ');
    return at ? at + 1 : NULL;
}

uint64_t proc_auxiliary(pid_t tid, uint64_t type, bool narrow) {
    union {
        Elf64_auxv_t wide[64];
        Elf32_auxv_t narrow[128];
    } vector;
    int fd = proc_open(tid, "auxv");
    ssize_t length = fd < 0 ? 0 : read(fd, &vector, sizeof vector);
    if (fd >= 0)
        close(fd);
    ssize_t size = narrow ? sizeof *vector.narrow : sizeof *vector.wide;
    for (ssize_t i = 0; (i + 1) * size <= length; i++)
        if ((narrow ? vector.narrow[i].a_type : vector.wide[i].a_type) == type)
            return narrow ? vector.narrow[i].a_un.a_val : vector.wide[i].a_un.a_val;
    return 0;
}

uint64_t proc_field(const char *text, const char *name, unsigned base) {
    const char *at = strstr(text, name);
    uint64_t number = 0;
    for (at = at ? at + strlen(name) : ""; digit(*at) < base; at++)
        number = number * base + digit(*at);
    return number;
}

/* What follows a number and a slash; NULL when text is something else. */
static const char *after_number(const char *text, pid_t *number) {
    const char *at = text;
    *number = 0;
    for (; isdigit((unsigned char)*at) && at - text < 10; at++)
        *number = *number * 10 + (*at - '0');
    return at > text && *at == '/' ? at + 1 : NULL;
}

const char *proc_process(const char *path, pid_t *pid) {
    static const char proc[] = "/proc/", task[] = "task/";
    pid_t tid;
    const char *rest = strncmp(path, proc, strlen(proc)) == 0 ? after_number(path + strlen(proc), pid) : NULL;
    const char *below = rest && strncmp(rest, task, strlen(task)) == 0 ? after_number(rest + strlen(task), &tid) : NULL;
    return below ? below : rest;
}
