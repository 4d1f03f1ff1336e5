/* trace: the ring keeps the newest events, in order, per thread; a failed assertion prints them. */
#include "tests/lib/unit.h"

#include "base/assert.h"
#include "obs/trace.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[1 << 18];

static const char *dump(void)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    trace_dump(fileno(f));
    rewind(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

static void *other_thread(void *arg)
{
    (void)arg;
    trace_event("elsewhere", 5, 6);
    return NULL;
}

static void newest_events_in_order(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3 * TRACE_EVENTS + 7; i++)
        trace_event("step", i, UINT64_MAX);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, other_thread, NULL), 0);
    pthread_join(t, NULL);
    const char *p = dump();
    for (uint64_t i = 2 * TRACE_EVENTS + 7; i < 3 * TRACE_EVENTS + 7; i++) {
        char want[64];
        snprintf(want, sizeof(want), " step %llu 18446744073709551615\n", (unsigned long long)i);
        p = strstr(p, want);
        assert_non_null(p);
    }
    assert_null(strstr(text, " step 0 "));
    assert_non_null(strstr(text, "trace: 1 "));
    assert_non_null(strstr(text, " elsewhere 5 6\n"));
}

static void a_failed_assertion_prints_them(void **state)
{
    (void)state;
    int pipe_fd[2], status;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fd[1], STDERR_FILENO);
        trace_install();
        trace_event("last words", 1, 2);
        kt_assert(1 + 1 == 3);
        _exit(0);
    }
    close(pipe_fd[1]);
    size_t len = 0;
    for (ssize_t n; (n = read(pipe_fd[0], text + len, sizeof(text) - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = 0;
    close(pipe_fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(text, "assertion failed: 1 + 1 == 3"));
    assert_non_null(strstr(text, " last words 1 2\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_events_in_order),
        cmocka_unit_test(a_failed_assertion_prints_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
