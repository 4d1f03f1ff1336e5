/* test_file: files of a data directory, what is refused, locks, short reads and aligned reads. */
#include "rt_test.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

static char base[64];

static int make_base(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/tmp/kitten-file-XXXXXX");
    return mkdtemp(base) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int remove_base(void **state)
{
    (void)state;
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    return path;
}

static int body_write_read(void *arg)
{
    (void)arg;
    int dir = rt_dir_open(base, false);
    CHECK(dir >= 0);
    int f = rt_file_open(dir, "a", RT_O_READ | RT_O_WRITE | RT_O_CREATE | RT_O_EXCL, 0600);
    CHECK(f >= 0);
    CHECK_EQ(rt_file_open(dir, "a", RT_O_WRITE | RT_O_CREATE | RT_O_EXCL, 0600), -KT_ERR_EXISTS);

    char one[] = "hello ", two[] = "world", buf[64];
    struct iovec v[3] = {{one, 6}, {one, 0}, {two, 5}};
    CHECK_EQ(rt_file_pwritev_sync(f, v, 3, 4, true), 0);
    CHECK_EQ(rt_file_pread(f, buf, 11, 4), 0);
    CHECK(memcmp(buf, "hello world", 11) == 0);
    CHECK_EQ(rt_file_pread(f, buf, 12, 4), -KT_ERR_EOF);
    CHECK_EQ(rt_file_pread_some(f, buf, 64, 10), 5);
    CHECK(memcmp(buf, "world", 5) == 0);
    CHECK_EQ(rt_file_pread_some(f, buf, 64, 15), 0);
    CHECK_EQ(rt_file_pread_some(f, buf, 64, 1 << 20), 0);

    struct rt_stat st;
    CHECK_EQ(rt_file_truncate(f, 9000), 0);
    CHECK_EQ(rt_file_stat(f, &st), 0);
    CHECK_EQ(st.size, 9000);
    CHECK_EQ(rt_file_sync(f), 0);
    CHECK_EQ(rt_file_datasync(f), 0);
    CHECK_EQ(rt_file_advise(f, 0, 0, RT_ADVISE_DONTNEED), 0);
    CHECK_EQ(rt_file_rename(dir, "a", "b"), 0);
    CHECK_EQ(rt_dir_sync(dir), 0);
    CHECK_EQ(rt_file_open(dir, "a", RT_O_READ, 0), -KT_ERR_NOT_FOUND);
    CHECK_EQ(rt_file_unlink(dir, "b"), 0);
    CHECK_EQ(rt_file_unlink(dir, "b"), -KT_ERR_NOT_FOUND);
    rt_file_close(f);
    rt_file_close(dir);
    rt_file_close(-1);
    return 0;
}

static void writes_and_reads_back(void **state)
{
    (void)state;
    run_on(1, body_write_read, NULL);
}

static int body_many_iov(void *arg)
{
    (void)arg;
    enum { N = 2500 }; /* more than one system call takes */
    struct iovec *v = calloc(N, sizeof(*v));
    uint32_t *words = calloc(N, sizeof(*words)), *back = calloc(N, sizeof(*back));
    CHECK(v && words && back);
    for (uint32_t i = 0; i < N; i++) {
        words[i] = i * 2654435761u;
        v[i] = (struct iovec){&words[i], sizeof(words[i])};
    }
    int dir = rt_dir_open(base, false);
    int f = rt_file_open(dir, "iov", RT_O_READ | RT_O_WRITE | RT_O_CREATE, 0600);
    CHECK_EQ(rt_file_pwritev(f, v, N, 0), 0);
    CHECK_EQ(rt_file_pread(f, back, N * sizeof(*back), 0), 0);
    CHECK(memcmp(words, back, N * sizeof(*back)) == 0);
    struct rt_stats s;
    rt_stats(&s);
    CHECK_EQ(s.read_hits + s.read_offloads, 1);
    rt_file_close(f);
    rt_file_close(dir);
    free(v);
    free(words);
    free(back);
    return 0;
}

static void long_vectors_are_written_whole(void **state)
{
    (void)state;
    run_on(1, body_many_iov, NULL);
}

static void refuse(int dir, const char *name, unsigned flags, int code)
{
    int rc = rt_file_open(dir, name, flags, 0600);
    CHECK_EQ(rc, -code);
}

static int body_refusals(void *arg)
{
    (void)arg;
    int dir = rt_dir_open(base, false);
    int f = rt_file_open(dir, "plain", RT_O_WRITE | RT_O_CREATE, 0600);
    CHECK(f >= 0);
    rt_file_close(f);
    CHECK_EQ(symlinkat("plain", dir, "symlink"), 0);
    CHECK_EQ(symlinkat("/etc/passwd", dir, "outside"), 0);
    CHECK_EQ(symlinkat("nothing", dir, "dangling"), 0);
    CHECK_EQ(mkfifoat(dir, "fifo", 0600), 0);
    CHECK_EQ(mkdirat(dir, "sub", 0700), 0);
    refuse(dir, "symlink", RT_O_READ, KT_ERR_DENIED);
    refuse(dir, "outside", RT_O_READ, KT_ERR_DENIED);
    refuse(dir, "dangling", RT_O_WRITE | RT_O_CREATE, KT_ERR_DENIED);
    refuse(dir, "fifo", RT_O_READ, KT_ERR_DENIED);
    refuse(dir, "fifo", RT_O_WRITE, KT_ERR_DENIED);
    refuse(dir, "sub", RT_O_READ, KT_ERR_DENIED);
    refuse(dir, "sub", RT_O_WRITE, KT_ERR_DENIED);
    CHECK_EQ(linkat(dir, "plain", dir, "hard", 0), 0);
    refuse(dir, "plain", RT_O_READ, KT_ERR_DENIED);
    refuse(dir, "hard", RT_O_READ | RT_O_WRITE, KT_ERR_DENIED);
    CHECK(strstr(err_text(-KT_ERR_DENIED), "one link") != NULL);
    refuse(dir, "../etc", RT_O_READ, KT_ERR_INVALID);
    refuse(dir, "..", RT_O_READ, KT_ERR_INVALID);
    refuse(dir, ".", RT_O_READ, KT_ERR_INVALID);
    refuse(dir, "", RT_O_READ, KT_ERR_INVALID);
    refuse(dir, "sub/x", RT_O_READ, KT_ERR_INVALID);
    CHECK_EQ(rt_file_unlink(dir, "../x"), -KT_ERR_INVALID);
    CHECK_EQ(rt_file_rename(dir, "plain", "sub/x"), -KT_ERR_INVALID);
    CHECK_EQ(rt_dir_open(path_of("fifo"), false), -KT_ERR_IO);
    rt_file_close(dir);
    return 0;
}

static void links_and_devices_are_refused(void **state)
{
    (void)state;
    run_on(1, body_refusals, NULL);
}

static int body_lock(void *arg)
{
    (void)arg;
    int dir = rt_dir_open(base, false);
    int a = rt_file_open(dir, "lock", RT_O_WRITE | RT_O_CREATE, 0600);
    int b = rt_file_open(dir, "lock", RT_O_WRITE, 0600);
    CHECK_EQ(rt_file_lock(a), 0);
    CHECK_EQ(rt_file_lock(b), -KT_ERR_LOCKED);
    rt_file_close(a);
    CHECK_EQ(rt_file_lock(b), 0);
    rt_file_close(b);
    rt_file_close(dir);
    return 0;
}

static void locks_exclude(void **state)
{
    (void)state;
    run_on(1, body_lock, NULL);
}

static void count_names(void *arg, const char *name)
{
    ((int *)arg)[strcmp(name, "x") == 0 ? 0 : strcmp(name, "y") == 0 ? 1 : 2]++;
}

static int body_dir(void *arg)
{
    (void)arg;
    CHECK_EQ(rt_dir_open(path_of("new"), false), -KT_ERR_NOT_FOUND);
    int dir = rt_dir_open(path_of("new"), true);
    CHECK(dir >= 0);
    int again = rt_dir_open(path_of("new/"), true);
    CHECK(again >= 0);
    rt_file_close(rt_file_open(dir, "x", RT_O_WRITE | RT_O_CREATE, 0600));
    rt_file_close(rt_file_open(again, "y", RT_O_WRITE | RT_O_CREATE, 0600));
    int seen[3];
    for (int i = 0; i < 2; i++) { /* a second listing starts anew */
        memset(seen, 0, sizeof(seen));
        CHECK_EQ(rt_dir_list(dir, count_names, seen), 0);
        CHECK(seen[0] == 1 && seen[1] == 1 && seen[2] == 0);
    }
    uint64_t total = 0, free_bytes = 0;
    CHECK_EQ(rt_dir_space(dir, &total, &free_bytes), 0);
    CHECK(total > 0 && free_bytes > 0 && free_bytes <= total);
    rt_file_close(dir);
    rt_file_close(again);
    return 0;
}

static void directories_are_made_and_listed(void **state)
{
    (void)state;
    run_on(1, body_dir, NULL);
}

static int body_direct(void *arg)
{
    (void)arg;
    int dir = rt_dir_open(base, false);
    int f = rt_file_open(dir, "direct", RT_O_WRITE | RT_O_CREATE, 0600);
    static char page[8192] __attribute__((aligned(4096)));
    memset(page, 'p', sizeof(page));
    struct iovec v = {page, sizeof(page)};
    CHECK_EQ(rt_file_pwritev_sync(f, &v, 1, 0, true), 0);
    rt_file_close(f);
    f = rt_file_open(dir, "direct", RT_O_READ | RT_O_DIRECT, 0);
    if (f < 0) { /* a file system without it, such as tmpfs on old kernels */
        rt_file_close(dir);
        return 0;
    }
    memset(page, 0, sizeof(page));
    CHECK_EQ(rt_file_pread(f, page, 4096, 4096), 0);
    CHECK(page[0] == 'p' && page[4095] == 'p');
    CHECK_EQ(rt_file_pread_some(f, page, 8192, 8192), 0);
    struct rt_stat st;
    CHECK_EQ(rt_file_stat(f, &st), 0);
    CHECK_EQ(st.size, 8192);
    struct rt_stats s;
    rt_stats(&s);
    CHECK_EQ(s.read_hits, 0); /* never on the loop */
    rt_file_close(f);
    rt_file_close(dir);
    return 0;
}

static void direct_reads_run_on_workers(void **state)
{
    (void)state;
    run_on(1, body_direct, NULL);
}

static int body_close_large(void *arg)
{
    (void)arg;
    int dir = rt_dir_open(base, false);
    int f = rt_file_open(dir, "large", RT_O_WRITE | RT_O_CREATE, 0600);
    CHECK_EQ(posix_fallocate(f, 0, 64 << 20), 0);
    CHECK_EQ(rt_file_unlink(dir, "large"), 0);
    rt_file_close(f);
    for (int i = 0; i < 1000 && fcntl(f, F_GETFD) >= 0; i++)
        CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0);
    CHECK(fcntl(f, F_GETFD) < 0);
    rt_file_close(dir);
    return 0;
}

static void large_removed_files_are_closed_soon(void **state)
{
    (void)state;
    run_on(1, body_close_large, NULL);
}

static int body_resolve(void *arg)
{
    (void)arg;
    struct rt_addr a;
    char text[RT_ADDR_TEXT_MAX];
    CHECK_EQ(rt_resolve("127.0.0.1", 80, &a), 0);
    rt_addr_format(&a, text);
    CHECK(strcmp(text, "127.0.0.1:80") == 0);
    CHECK_EQ(rt_resolve("::1", 81, &a), 0);
    rt_addr_format(&a, text);
    CHECK(strcmp(text, "[::1]:81") == 0);
    CHECK(rt_resolve("not a host", 1, &a) < 0);
    return 0;
}

static void names_are_resolved(void **state)
{
    (void)state;
    run_on(1, body_resolve, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads_back),
        cmocka_unit_test(long_vectors_are_written_whole),
        cmocka_unit_test(links_and_devices_are_refused),
        cmocka_unit_test(locks_exclude),
        cmocka_unit_test(directories_are_made_and_listed),
        cmocka_unit_test(direct_reads_run_on_workers),
        cmocka_unit_test(large_removed_files_are_closed_soon),
        cmocka_unit_test(names_are_resolved),
    };
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
