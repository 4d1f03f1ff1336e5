/* engine_test: what the tests of volumes and stores share. Bodies run on a fiber of a fresh
 * runtime; cmocka's failed asserts longjmp, which must not happen there, so bodies use CHECK, which
 * aborts. */
#ifndef KT_TESTS_LIB_ENGINE_TEST_H
#define KT_TESTS_LIB_ENGINE_TEST_H

#include "tests/lib/unit.h"

#include "base/err.h"
#include "rt/rt.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #expr);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_) {                                                                            \
            fprintf(stderr, "%s:%d: %s is %lld, expected %lld (%s)\n", __FILE__, __LINE__, #a, a_, \
                    b_, a_ < 0 ? err_text((int)a_) : "");                                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* One process lifetime: runs the body on `loops` loops. */
static inline void run_on(int loops, int (*body)(void *), void *arg)
{
    struct rt_options o = {.loops = loops, .workers = 4};
    CHECK_EQ(rt_run(&o, body, arg), 0);
}

/* The same in a child process that dies, without any clean-up, when the body returns: kill -9 as
 * far as files go. */
struct die_call {
    int (*body)(void *);
    void *arg;
};
static inline int die_body(void *arg)
{
    const struct die_call *c = arg;
    _exit(c->body(c->arg) == 0 ? 0 : 1);
}
static inline void die_after(int loops, int (*body)(void *), void *arg)
{
    struct die_call c = {body, arg};
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        run_on(loops, die_body, &c);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* A fresh directory; removed by tmp_remove. */
static inline void tmp_make(char path[64])
{
    snprintf(path, 64, "/tmp/kitten-test-XXXXXX");
    CHECK(mkdtemp(path) != NULL);
}
static inline void tmp_remove(const char *path)
{
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            CHECK_EQ(unlinkat(dirfd(d), e->d_name, 0), 0);
    closedir(d);
    CHECK_EQ(rmdir(path), 0);
}

/* Changes one byte of a file beneath `dir`. */
static inline void flip_byte(const char *dir, const char *name, long offset)
{
    char path[160];
    uint8_t byte;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    CHECK_EQ(pwrite(fd, &byte, 1, offset), 1);
    CHECK_EQ(fsync(fd), 0);
    close(fd);
}
static inline long file_size(const char *dir, const char *name)
{
    char path[160];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

/* Appends `len` bytes of value `fill`. */
static inline void append_bytes(const char *dir, const char *name, size_t len, int fill)
{
    char path[160], block[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    memset(block, fill, sizeof(block));
    int fd = open(path, O_WRONLY | O_APPEND);
    CHECK(fd >= 0);
    for (size_t n; len > 0; len -= n) {
        n = len < sizeof(block) ? len : sizeof(block);
        CHECK_EQ(write(fd, block, n), n);
    }
    CHECK_EQ(fsync(fd), 0);
    close(fd);
}

/* Bytes that depend on `seed` alone. */
static inline void fill_pattern(uint8_t *p, size_t len, uint32_t seed)
{
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (uint8_t)(x >> 24);
    }
}

#endif
