/* show.c - subject: a program that prints what it was started with.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sys/auxv.h>

/* Its program and what is mapped with it, as often as they follow each other. */
static void show_maps(void) {
    char line[PATH_MAX + 128], last[PATH_MAX] = "";
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        const char *path = strchr(line, '/');
        if (path && strncmp(path, last, sizeof last) != 0)
            printf("  maps %s", path);
        if (path)
            snprintf(last, sizeof last, "%s", path);
    }
    if (maps)
        fclose(maps);
}

int main(int argc, char **argv) {
    printf("  argc %d\n", argc);
    for (int i = 0; i < argc; i++)
        printf("  argv %zu \"%.300s\"\n", strlen(argv[i]), argv[i]);
    const char *mark = getenv("MARK");
    printf("  mark %s\n", mark ? mark : "absent");
    const char *name = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    printf("  execfn %s\n", name ? name : "absent");
    char exe[PATH_MAX] = {0};
    if (readlink("/proc/self/exe", exe, sizeof exe - 1) < 0)
        printf("  exe %s\n", strerror(errno));
    else
        printf("  exe %s\n", exe);
    struct stat by_link, by_name;
    if (stat("/proc/self/exe", &by_link) == 0 && stat(exe, &by_name) == 0)
        printf("  exe is %s\n", by_link.st_ino == by_name.st_ino ? "that file" : "another file");
    char comm[32] = {0};
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, comm, sizeof comm - 1) > 0)
        printf("  comm %s", comm);
    char line[4096] = {0};
    fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    for (ssize_t i = 0; i < n; i++)
        if (!line[i])
            line[i] = ' ';
    printf("  cmdline %.300s\n", line);
    show_maps();
    return 7;
}
