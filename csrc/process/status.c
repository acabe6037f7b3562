/* status.c - the credentials of a task, and what else stands in /proc/PID/status.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptor.h"
#include "status.h"

/* What follows "\nname:\t". */
static const char *field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? at + strlen(name) : "";
}

static void parse_ids(const char *at, uint32_t ids[4]) {
    char *end = (char *)at;
    for (int i = 0; i < 4; i++)
        ids[i] = (uint32_t)strtoul(end, &end, 10);
}

static int parse_groups(const char *at, struct status *status) {
    const char *line_end = strchr(at, '\n');
    size_t most = line_end ? (size_t)(line_end - at) / 2 + 1 : 0;
    if (most == 0)
        return 0;
    status->groups = malloc(most * sizeof *status->groups);
    if (!status->groups)
        return -ENOMEM;
    for (char *end = (char *)at; status->ngroups < most;) {
        char *from = end;
        while (*from == ' ' || *from == '\t')
            from++;
        if (*from < '0' || *from > '9')
            break;
        status->groups[status->ngroups++] = (gid_t)strtoul(from, &end, 10);
    }
    return 0;
}

/* The whole file, ended by a NUL; NULL with errno. To be freed unless it is buffer. */
static char *read_text(const char *path, char *buffer, size_t size) {
    CLOSE_DESCRIPTOR fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = buffer;
    size_t length = 0;
    for (;;) {
        ssize_t n = read(fd, text + length, size - length - 1);
        if (n == 0)
            break;
        char *larger = NULL;
        length += n > 0 ? (size_t)n : 0;
        if (n > 0 && length < size - 1)
            break;   /* the kernel gives all that there is room for */
        if (n > 0 && (larger = malloc(size * 4))) {
            memcpy(larger, text, length);
            size *= 4;
        }
        if (text != buffer)
            free(text);
        if (!larger)
            return NULL;
        text = larger;
    }
    text[length] = '\0';
    return text;
}

int status_read(const char *path, struct status *status) {
    char buffer[4096];
    char *text = read_text(path, buffer, sizeof buffer);
    if (!text)
        return -EPERM;
    *status = (struct status){
        .tgid = (pid_t)strtol(field(text, "\nTgid:"), NULL, 10),
        .umask = (mode_t)strtoul(field(text, "\nUmask:"), NULL, 8),
        .inheritable = strtoull(field(text, "\nCapInh:"), NULL, 16),
        .permitted = strtoull(field(text, "\nCapPrm:"), NULL, 16),
        .effective = strtoull(field(text, "\nCapEff:"), NULL, 16),
        .bounding = strtoull(field(text, "\nCapBnd:"), NULL, 16),
        .ambient = strtoull(field(text, "\nCapAmb:"), NULL, 16),
    };
    parse_ids(field(text, "\nUid:"), status->uid);
    parse_ids(field(text, "\nGid:"), status->gid);
    int error = parse_groups(field(text, "\nGroups:"), status);
    if (text != buffer)
        free(text);
    return error;
}

bool status_stays(const struct status *status) {
    for (int i = 1; i < 4; i++)
        if (status->uid[i] != status->uid[0] || status->gid[i] != status->gid[0])
            return false;
    uint64_t afterwards = status->uid[0] == 0 ? status->bounding | status->inheritable : status->ambient;
    return status->permitted == afterwards && status->effective == afterwards;
}
