/* who.c - who a program is: by its ids, by what the kernel tells it at its start, and to its own socket's peer.
 *
 *     who FILE        which it gives to user 1 and group 2 first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void show_ids(const char *when) {
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) == 0)
        printf("%s %u %u %u, group %u\n", when, real, effective, saved, getegid());
}

int main(int argc, char **argv) {
    struct stat st;
    struct ucred peer = {.uid = 99};
    socklen_t length = sizeof peer;
    int pair[2];
    if (argc != 2)
        return 1;
    show_ids("start");
    printf("told %lu %lu, secure %lu\n", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_SECURE));
    int changed = chown(argv[1], 1, 2);
    if (stat(argv[1], &st) == 0)
        printf("chown %d: %u %u\n", changed, st.st_uid, st.st_gid);
    int group = setgid(5), user = setuid(7);
    printf("set %d %d\n", group, user);
    show_ids("then");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 &&
        getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
        printf("peer %u\n", peer.uid);
    return 0;
}
