/* linux: what the parts of the Linux backend share (backend_linux.c fills the table of backend.h).
 *
 * Model: state is static, one runtime a process. Every function returns >= 0 or a negative errno,
 * and takes the unused `self` first, as the seam wants. linux_net.c: sockets; linux_disk.c: files;
 * linux_pool.c: worker threads.
 *
 * Threads: all functions may be called from any thread; the pool locks itself. Never yields.
 */
#ifndef KT_RT_LINUX_H
#define KT_RT_LINUX_H

#include "rt/backend.h"
#include "rt/rt.h"

/* linux_net.c */
int linux_listen(void *self, const struct rt_addr *addr, int backlog, bool reuse_port);
int linux_local(void *self, int sock, struct rt_addr *ret);
int linux_accept(void *self, int sock, struct rt_addr *ret_peer);
int linux_connect(void *self, const struct rt_addr *addr);
int linux_connect_result(void *self, int sock);
ssize_t linux_recv(void *self, int sock, void *p, size_t len);
ssize_t linux_sendv(void *self, int sock, const struct iovec *iov, int n);
int linux_shutdown(void *self, int sock);
int linux_sock_close(void *self, int sock);
int linux_resolve(void *self, const char *host, uint16_t port, struct rt_addr *ret);

/* linux_disk.c */
int linux_dir_open(void *self, const char *path, bool create);
int linux_dir_sync(void *self, int dir);
int linux_dir_list(void *self, int dir, void (*each)(void *arg, const char *name), void *arg);
int linux_dir_space(void *self, int dir, uint64_t *ret_total, uint64_t *ret_free);
int linux_file_open(void *self, int dir, const char *name, unsigned flags, unsigned mode);
ssize_t linux_file_preadv(void *self, int file, const struct iovec *iov, int n, uint64_t off);
ssize_t linux_file_preadv_nowait(void *self, int file, const struct iovec *iov, int n,
                                 uint64_t off);
ssize_t linux_file_pwritev(void *self, int file, const struct iovec *iov, int n, uint64_t off);
int linux_file_datasync(void *self, int file);
int linux_file_sync(void *self, int file);
int linux_file_truncate(void *self, int file, uint64_t size);
int linux_file_advise(void *self, int file, uint64_t off, uint64_t len, int advice);
int linux_file_lock(void *self, int file);
int linux_file_stat(void *self, int file, struct rt_stat *ret);
int linux_file_rename(void *self, int dir, const char *from, const char *to);
int linux_file_unlink(void *self, int dir, const char *name);
int linux_file_close(void *self, int handle);

/* linux_pool.c */
int linux_pool_start(void *self, int workers, int queue_max);
void linux_pool_stop(void);
/* Closes `fd` on a worker when one is free; false when the caller has to do it. */
bool linux_pool_close(int fd);
int linux_offload(void *self, struct rt_job *job);

#endif
