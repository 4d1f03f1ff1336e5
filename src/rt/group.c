/* group: structured concurrency. A group is a scope on a fiber's stack; cancellation goes down the
 * tree of groups: to the members' waits, and to the groups that the members have opened. All on one
 * loop, so no locks.
 *
 * Failure modes: the first member that fails leaves its code and text for the joiner; later ones
 * are dropped.
 */
#include "rt/rt_priv.h"

#include <stdio.h>
#include <string.h>

void group_init(struct rt_group *g, struct rt_group *parent)
{
    list_init(&g->fibers);
    list_init(&g->scope);
    g->waiter = NULL;
    g->parent = parent;
    g->first_error = 0;
    g->first_diag_code = 0;
    g->first_diag_text[0] = '\0';
    g->count = 0;
    g->canceled = parent && parent->canceled;
}

void rt_group_open(struct rt_group *g)
{
    kt_assert(fiber_self);
    group_init(g, fiber_self->group);
    list_push_back(&fiber_self->scopes, &g->scope);
}

int rt_go(struct rt_group *g, int (*fn)(void *arg), void *arg)
{
    kt_assert(loop_self);
    if (g->canceled)
        return err_set(KT_ERR_CANCELED, "start of a fiber: its group is canceled");
    return fiber_spawn(loop_self, g, fn, arg);
}

int rt_go_root(int (*fn)(void *arg), void *arg)
{
    kt_assert(loop_self);
    return rt_go(&loop_self->root, fn, arg);
}

/* Depth of the recursion = depth of nested scopes in the code, not of any input. */
void rt_group_cancel(struct rt_group *g)
{
    if (g->canceled)
        return;
    g->canceled = true;
    list_for_each(it, &g->fibers)
    {
        struct rt_fiber *f = list_entry(it, struct rt_fiber, member);
        kt_assert(f->loop == loop_self);
        list_for_each(scope, &f->scopes) rt_group_cancel(list_entry(scope, struct rt_group, scope));
        if (f->wait && f->wait_cancelable)
            fiber_end_wait(f, -KT_ERR_CANCELED);
    }
}

void group_member_ended(struct rt_group *g, struct rt_fiber *f, int rc)
{
    if (rc < 0 && g->first_error == 0) {
        g->first_error = rc;
        if (f->diag.code == -rc) {
            g->first_diag_code = -rc;
            memcpy(g->first_diag_text, f->diag.text, sizeof(g->first_diag_text));
        }
    }
    list_remove(&f->member);
    g->count--;
    if (g->count == 0 && g->waiter)
        rt_wake(TAKE(g->waiter));
}

int rt_group_wait(struct rt_group *g, int rc)
{
    kt_assert(rt_may_yield());
    if (rc < 0)
        rt_group_cancel(g);
    if (g->count > 0) {
        struct rt_wait w;
        rt_wait_init(&w);
        g->waiter = &w;
        fiber_park(&w, RT_NEVER, "group", false);
    }
    list_remove(&g->scope);
    if (rc < 0 || g->first_error == 0)
        return rc;
    if (g->first_diag_code != 0)
        return err_set(g->first_diag_code, "%s", g->first_diag_text);
    return g->first_error;
}
