/* handle.c - what the kernel's overlayfs names after lower objects: the entries of <work>/index.
 *
 * A name is the lower's file handle in hexadecimal, as ovl_get_index_name_fh() of fs/overlayfs/namei.c makes it:
 * struct ovl_fb of fs/overlayfs/overlayfs.h, which also holds the identity of the lower's file system.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "layers.h"

#define HANDLE_MAX 128u    /* MAX_HANDLE_SZ of linux/exportfs.h */
#define HEAD 21u           /* of struct ovl_fb: version, magic, length, flags, type, uuid */
#define MAGIC 0xfb

/* FS_IOC_GETFSUUID of linux/fs.h since Linux 6.9 */
struct fsuuid {
    uint8_t length;
    uint8_t uuid[16];
};
#define GET_FS_UUID _IOR(0x15, 0, struct fsuuid)

/* The kernel takes zeros where a file system has none. */
static void read_uuid(const struct layer *layer, uint8_t out[16]) {
    struct fsuuid fsuuid;
    memset(&fsuuid, 0, sizeof fsuuid);
    CLOSE_FD fd = openat(layer->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && ioctl(fd, GET_FS_UUID, &fsuuid) < 0)
        memset(&fsuuid, 0, sizeof fsuuid);
    memcpy(out, fsuuid.uuid, sizeof fsuuid.uuid);
}

int handle_name(const struct overlay *ovl, uint32_t d, char out[HANDLE_NAME]) {
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + HANDLE_MAX];
    } u;
    char path[VIEW_PATH_MAX];
    uint8_t bytes[HEAD + HANDLE_MAX] = {0, MAGIC};
    const struct layer *layer = &ovl->layers[at(ovl, d)->layer];
    int error = path_in_lower(ovl, d, at(ovl, d)->layer, path);
    if (error < 0)
        return error;
    u.handle.handle_bytes = HANDLE_MAX;
    if (fd_handle(layer->fd, path, &u.handle) < 0)
        return -errno;
    size_t length = HEAD + u.handle.handle_bytes;
    bytes[2] = (uint8_t)length;
    bytes[4] = (uint8_t)u.handle.handle_type;
    read_uuid(layer, bytes + 5);
    memcpy(bytes + HEAD, u.handle.f_handle, u.handle.handle_bytes);
    for (size_t i = 0; i < length; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}
