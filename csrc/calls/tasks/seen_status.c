/* seen_status.c - /proc/PID/status as a fake root sees it: fs/proc/array.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

#include "seen.h"
#include "task.h"

static void put_ids(FILE *out, const char *name, const uint32_t ids[SEEN_IDS]) {
    fprintf(out, "%s:\t%u\t%u\t%u\t%u\n", name, ids[SEEN_REAL], ids[SEEN_EFFECTIVE], ids[SEEN_SAVED], ids[SEEN_FS]);
}

static void put_groups(FILE *out, const struct seen *seen) {
    fprintf(out, "Groups:\t");
    for (size_t i = 0; i < seen->ngroups; i++)
        fprintf(out, "%u ", seen->groups[i]);
    fprintf(out, seen->ngroups ? "\n" : " \n");
}

/* False: the line is none of these, and stays. */
static bool put_line(FILE *out, const char *line, const struct seen *seen) {
    const struct {
        const char *name;
        uint64_t set;
    } sets[] = {{"CapInh", seen->inheritable},
                {"CapPrm", seen->permitted},
                {"CapEff", seen->effective},
                {"CapBnd", seen->bounding},
                {"CapAmb", seen->ambient}};
    if (strncmp(line, "Uid:", 4) == 0 || strncmp(line, "Gid:", 4) == 0)
        put_ids(out, line[0] == 'U' ? "Uid" : "Gid", line[0] == 'U' ? seen->uid : seen->gid);
    else if (strncmp(line, "Groups:", 7) == 0)
        put_groups(out, seen);
    else if (strncmp(line, "Cap", 3) != 0)
        return false;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strncmp(line, sets[i].name, 6) == 0)
            fprintf(out, "%s:\t%016llx\n", sets[i].name, (unsigned long long)sets[i].set);
    return true;
}

char *seen_status(struct task *task, pid_t pid, const char *text, size_t *length) {
    char *bytes = NULL;
    bool own = pid == task->tid || pid == task->tgid;
    const struct seen *seen = own ? seen_of(task) : seen_of_process(task->session, pid);
    FILE *out = seen ? open_memstream(&bytes, length) : NULL;
    if (!out)
        return NULL;
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        size += line[size] != '\0';
        if (!put_line(out, line, seen))
            fprintf(out, "%.*s", (int)size, line);
        line += size;
    }
    bool failed = ferror(out);
    if (fclose(out) == 0 && !failed)
        return bytes;
    free(bytes);
    return NULL;
}
