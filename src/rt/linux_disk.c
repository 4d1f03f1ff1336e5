/* linux_disk: files of a data directory. Names are opened beneath a directory handle without
 * following anything (openat2 where the kernel has it, O_NOFOLLOW on one component otherwise), then
 * checked: regular, one link.
 *
 * A handle is a descriptor; the bit DIRECT marks those opened with O_DIRECT, for which a RWF_NOWAIT
 * read would wait for the disk all the same and therefore always goes to a worker.
 */
#include "rt/linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIRECT 0x40000000

static int fd_of(int handle)
{
    return handle & ~DIRECT;
}

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

/* The new directory's entry must survive a power cut too. */
static int sync_parent(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    char *slash = strrchr(copy, '/');
    const char *parent = ".";
    if (slash == copy)
        parent = "/";
    else if (slash) {
        *slash = '\0';
        parent = copy;
    }
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : result(fsync(fd));
    if (fd >= 0)
        close(fd);
    free(copy);
    return rc;
}

int linux_dir_open(void *self, const char *path, bool create)
{
    (void)self;
    if (create) {
        if (mkdir(path, 0700) == 0) {
            int rc = sync_parent(path);
            if (rc < 0)
                return rc;
        } else if (errno != EEXIST) {
            return -errno;
        }
    }
    return result(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int linux_dir_sync(void *self, int dir)
{
    (void)self;
    return result(fsync(dir));
}

int linux_dir_list(void *self, int dir, void (*each)(void *arg, const char *name), void *arg)
{
    (void)self;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* an offset of its own */
    if (fd < 0)
        return -errno;
    DIR *d = fdopendir(fd);
    if (!d) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    const struct dirent *e;
    while (errno = 0, (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            each(arg, e->d_name);
    }
    int rc = -errno;
    closedir(d);
    return rc;
}

int linux_dir_space(void *self, int dir, uint64_t *ret_total, uint64_t *ret_free)
{
    (void)self;
    struct statvfs v;
    if (fstatvfs(dir, &v) < 0)
        return -errno;
    *ret_total = (uint64_t)v.f_blocks * v.f_frsize;
    *ret_free = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

static int open_beneath(int dir, const char *name, int flags, unsigned mode)
{
    static _Atomic bool no_openat2;
    if (!atomic_load_explicit(&no_openat2, memory_order_relaxed)) {
        struct open_how how = {
            .flags = (unsigned)flags,
            .mode = flags & O_CREAT ? mode & 0777 : 0,
            .resolve = (unsigned)RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                       RESOLVE_NO_XDEV,
        };
        long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
            return fd < 0 ? -errno : (int)fd;
        /* an old kernel or a sandbox's filter; `name` is one component, so O_NOFOLLOW says the same
         */
        if (errno == ENOSYS)
            atomic_store_explicit(&no_openat2, true, memory_order_relaxed);
    }
    return result(openat(dir, name, flags, mode & 0777));
}

static int check_regular(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EPERM;
    if (st.st_nlink != 1)
        return -EMLINK;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int linux_file_open(void *self, int dir, const char *name, unsigned flags, unsigned mode)
{
    (void)self;
    int how = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK; /* a pipe may not stop us */
    bool read = (flags & RT_O_READ) != 0, write = (flags & RT_O_WRITE) != 0;
    how |= read && write ? O_RDWR : write ? O_WRONLY : O_RDONLY;
    how |= (flags & RT_O_CREATE ? O_CREAT : 0) | (flags & RT_O_EXCL ? O_EXCL : 0) |
           (flags & RT_O_DIRECT ? O_DIRECT : 0);
    int fd = open_beneath(dir, name, how, mode);
    if (fd == -ENXIO || fd == -EISDIR || fd == -EXDEV)
        return -EPERM; /* a pipe without reader, a socket, a directory, a mount */
    if (fd < 0)
        return fd;
    int rc = check_regular(fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return flags & RT_O_DIRECT ? fd | DIRECT : fd;
}

ssize_t linux_file_preadv(void *self, int file, const struct iovec *iov, int n, uint64_t off)
{
    (void)self;
    ssize_t got = preadv(fd_of(file), iov, n, (off_t)off);
    return got < 0 ? -errno : got;
}

ssize_t linux_file_preadv_nowait(void *self, int file, const struct iovec *iov, int n, uint64_t off)
{
    (void)self;
    if (file & DIRECT)
        return -EAGAIN;
    ssize_t got = preadv2(file, iov, n, (off_t)off, RWF_NOWAIT);
    return got < 0 ? -errno : got;
}

ssize_t linux_file_pwritev(void *self, int file, const struct iovec *iov, int n, uint64_t off)
{
    (void)self;
    ssize_t put = pwritev(fd_of(file), iov, n, (off_t)off);
    return put < 0 ? -errno : put;
}

int linux_file_datasync(void *self, int file)
{
    (void)self;
    return result(fdatasync(fd_of(file)));
}

int linux_file_sync(void *self, int file)
{
    (void)self;
    return result(fsync(fd_of(file)));
}

int linux_file_truncate(void *self, int file, uint64_t size)
{
    (void)self;
    return result(ftruncate(fd_of(file), (off_t)size));
}

int linux_file_advise(void *self, int file, uint64_t off, uint64_t len, int advice)
{
    (void)self;
    static const int how[] = {[RT_ADVISE_RANDOM] = POSIX_FADV_RANDOM,
                              [RT_ADVISE_DONTNEED] = POSIX_FADV_DONTNEED,
                              [RT_ADVISE_SEQUENTIAL] = POSIX_FADV_SEQUENTIAL};
    if (advice < RT_ADVISE_RANDOM || advice > RT_ADVISE_SEQUENTIAL)
        return -EINVAL;
    return -posix_fadvise(fd_of(file), (off_t)off, (off_t)len, how[advice]);
}

int linux_file_lock(void *self, int file)
{
    (void)self;
    return result(flock(fd_of(file), LOCK_EX | LOCK_NB));
}

int linux_file_stat(void *self, int file, struct rt_stat *ret)
{
    (void)self;
    struct stat st;
    if (fstat(fd_of(file), &st) < 0)
        return -errno;
    *ret =
        (struct rt_stat){.size = (uint64_t)st.st_size, .allocated = (uint64_t)st.st_blocks * 512};
    return 0;
}

int linux_file_rename(void *self, int dir, const char *from, const char *to)
{
    (void)self;
    return result(renameat(dir, from, dir, to));
}

int linux_file_unlink(void *self, int dir, const char *name)
{
    (void)self;
    return result(unlinkat(dir, name, 0));
}

/* The last close of a removed file frees its blocks: for a large one that takes long, and is no
 * work for a loop. */
int linux_file_close(void *self, int handle)
{
    (void)self;
    struct stat st;
    if (fstat(fd_of(handle), &st) == 0 && st.st_nlink == 0 &&
        (uint64_t)st.st_blocks * 512 >= MIB(64) && linux_pool_close(fd_of(handle)))
        return 0;
    return result(close(fd_of(handle)));
}
