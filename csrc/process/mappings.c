/* mappings.c - where the text of files is mapped in a process.
 *
 * Since Linux 6.11 the kernel tells what is asked for and nothing else (PROCMAP_QUERY, fs/proc/task_mmu.c); before, all
 * mappings are read as lines, most of which say nothing of text.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "mappings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "proc.h"

/* struct procmap_query of linux/fs.h, which older headers have not. */
struct query {
    uint64_t size, flags, address;
    uint64_t begin, end, found, page_size, offset, inode;
    uint32_t major, minor, name_size, build_id_size;
    uint64_t name, build_id;
};
#define QUERY _IOWR('f', 17, struct query)
#define QUERY_WRITABLE 0x02u
#define QUERY_TEXT 0x05u /* readable, executable */
#define QUERY_SHARED 0x08u
#define QUERY_NEXT 0x10u
#define QUERY_FILE 0x20u

static bool ask(const struct mappings *mappings, struct query *query, uint64_t address) {
    query->size = sizeof *query;
    query->flags = QUERY_TEXT | QUERY_NEXT | QUERY_FILE;
    query->address = address;
    return ioctl(mappings->fd, QUERY, query) == 0;
}

int mappings_open(struct mappings *mappings, pid_t pid) {
    struct query query = {.size = 0};
    *mappings = (struct mappings){.fd = proc_open(pid, "maps")};
    if (mappings->fd < 0)
        return -errno;
    if (ask(mappings, &query, 0) || errno == ENOENT)
        return 0;
    mappings->lines = fdopen(mappings->fd, "r");
    if (mappings->lines)
        return 0;
    close(mappings->fd);
    return -ENOMEM;
}

static bool next_asked(struct mappings *mappings, struct mapping *mapping) {
    struct query query = {.size = 0};
    do {
        if (!ask(mappings, &query, mappings->next))
            return false;
        mappings->next = query.end;
    } while (query.found & (QUERY_WRITABLE | QUERY_SHARED));
    *mapping = (struct mapping){.begin = query.begin,
                                .end = query.end,
                                .offset = query.offset,
                                .dev = makedev(query.major, query.minor),
                                .ino = query.inode};
    return true;
}

static bool read_line(char *line, struct mapping *mapping) {
    unsigned major, minor;
    int path = 0;
    if (!strstr(line, " r-xp ")) /* most lines: the other one is slow */
        return false;
    if (sscanf(line, "%lx-%lx r-xp %lx %x:%x %lu %n", &mapping->begin, &mapping->end, &mapping->offset, &major, &minor,
               &mapping->ino, &path) < 6 ||
        !path || line[path] != '/')
        return false;
    mapping->dev = makedev(major, minor);
    line[path + strcspn(line + path, "\n")] = '\0';
    mapping->path = line + path;
    return true;
}

bool mappings_next(struct mappings *mappings, struct mapping *mapping) {
    if (!mappings->lines)
        return next_asked(mappings, mapping);
    while (getline(&mappings->line, &mappings->room, mappings->lines) > 0)
        if (read_line(mappings->line, mapping))
            return true;
    return false;
}

const char *mappings_path(const struct mappings *mappings, const struct mapping *mapping, char room[PATH_MAX]) {
    if (mapping->path)
        return mapping->path;
    struct query query = {.name = (uint64_t)(uintptr_t)room, .name_size = PATH_MAX};
    room[0] = '\0';
    if (!ask(mappings, &query, mapping->begin) || query.begin != mapping->begin || room[0] != '/')
        return "";
    return room;
}

void mappings_close(struct mappings *mappings) {
    if (mappings->lines)
        (void)fclose(mappings->lines); /* and the descriptor */
    else
        close(mappings->fd);
    free(mappings->line);
}
