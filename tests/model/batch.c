/* batch: see batch.h. Children share one page of results; each takes the next id by an atomic
 * counter, and the parent replaces a child that died by a signal, blaming the case it was at. */
#include "tests/model/batch.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 16

struct shared {
    _Atomic uint64_t next;
    _Atomic int lock;
    uint64_t current[JOBS_MAX];
    struct batch_result result;
};

static void lock(struct shared *sh)
{
    while (atomic_exchange(&sh->lock, 1) != 0)
        usleep(100);
}

static void unlock(struct shared *sh)
{
    atomic_store(&sh->lock, 0);
}

static void add_failure(struct shared *sh, uint64_t id, const char *text)
{
    struct batch_result *r = &sh->result;
    r->failed++;
    if (r->nfailures == BATCH_FAILURES_MAX)
        return;
    struct batch_failure *f = &r->failures[r->nfailures++];
    f->id = id;
    snprintf(f->text, sizeof(f->text), "%s", text);
}

static void child(const struct batch *b, struct shared *sh, int job)
{
    for (;;) {
        uint64_t id = atomic_fetch_add(&sh->next, 1);
        if (id > b->last || (b->stop_after != 0 && sh->result.failed >= b->stop_after))
            exit(0); /* with the leak check of sanitizer builds */
        sh->current[job] = id;
        alarm((unsigned)b->limit_s);
        struct counters c = {0};
        char text[BATCH_TEXT_MAX] = "";
        bool fine = b->fn(id, &c, text);
        alarm(0);
        lock(sh);
        counters_add(&sh->result.c, &c);
        sh->result.done++;
        if (!fine)
            add_failure(sh, id, text);
        unlock(sh);
    }
}

static pid_t start_child(const struct batch *b, struct shared *sh, int job)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        child(b, sh, job);
    return pid;
}

static void child_died(const struct batch *b, struct shared *sh, int job, int status)
{
    char text[128];
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (sig != 0)
        snprintf(text, sizeof(text), "died by signal %d (%s)", sig,
                 sig == SIGALRM ? "ran too long: it hangs or loops" : strsignal(sig));
    else
        snprintf(text, sizeof(text), "exit status %d: leaks, see standard error",
                 WEXITSTATUS(status));
    unlock(sh);
    sh->result.done++;
    add_failure(sh, sh->current[job], text);
    (void)b;
}

void batch_run(const struct batch *b, struct batch_result *ret)
{
    int jobs = KT_MIN(KT_MAX(b->jobs, 1), JOBS_MAX);
    struct shared *sh =
        mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[JOBS_MAX];
    if (sh == MAP_FAILED) {
        perror("mmap");
        _exit(2);
    }
    atomic_store(&sh->next, b->first);
    for (int i = 0; i < jobs; i++)
        pids[i] = start_child(b, sh, i);
    for (int live = jobs; live > 0;) {
        int status;
        pid_t pid = wait(&status);
        int job = 0;
        while (job < jobs && pids[job] != pid)
            job++;
        if (job == jobs)
            continue;
        live--;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        child_died(b, sh, job, status);
        pids[job] = start_child(b, sh, job);
        live++;
    }
    *ret = sh->result;
    munmap(sh, sizeof(*sh));
}

void batch_print_counters(const struct counters *c)
{
    printf("%llu runs, %llu restarts (%llu power cuts, %llu kills), %llu operations\n",
           (unsigned long long)c->seeds, (unsigned long long)c->restarts,
           (unsigned long long)c->cuts, (unsigned long long)c->kills, (unsigned long long)c->ops);
    printf("puts %llu (acked %llu), gets %llu, acked deletes %llu, acked undeletes %llu, "
           "unavailable %llu, "
           "duplicates %llu\n",
           (unsigned long long)c->puts, (unsigned long long)c->acked_puts,
           (unsigned long long)c->gets, (unsigned long long)c->acked_deletes,
           (unsigned long long)c->acked_undeletes, (unsigned long long)c->unavailable,
           (unsigned long long)c->duplicates);
    printf("closed volumes %llu, generations %llu, sectors lost %llu, torn %llu\n",
           (unsigned long long)c->rollovers, (unsigned long long)c->compactions,
           (unsigned long long)c->sectors_lost, (unsigned long long)c->sectors_torn);
    printf("failed reads %llu, writes %llu, syncs %llu, no space %llu, short %llu, stalls %llu, "
           "names lost %llu, "
           "damaged %llu\n",
           (unsigned long long)c->failed_reads, (unsigned long long)c->failed_writes,
           (unsigned long long)c->failed_syncs, (unsigned long long)c->no_space,
           (unsigned long long)c->short_calls, (unsigned long long)c->stalls,
           (unsigned long long)c->dir_ops_lost, (unsigned long long)c->rots);
    printf("lost %llu, resurrected %llu, corrupt %llu, phantom %llu, other %llu\n",
           (unsigned long long)c->lost, (unsigned long long)c->resurrected,
           (unsigned long long)c->corrupt, (unsigned long long)c->phantom,
           (unsigned long long)c->other);
}
