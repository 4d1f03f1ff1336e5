/* list, and the overflow-checked arithmetic of checked.h. */
#include "tests/lib/unit.h"

#include "base/checked.h"
#include "base/list.h"

struct item {
    int n;
    struct list link;
};

static int sum_in_order(struct list *head)
{
    int v = 0;
    list_for_each(it, head) v = v * 10 + list_entry(it, struct item, link)->n;
    return v;
}

static void push_pop_remove(void **state)
{
    (void)state;
    struct list head = LIST_INIT(head);
    struct item a = {.n = 1}, b = {.n = 2}, c = {.n = 3};
    assert_true(list_empty(&head));
    assert_null(list_pop_front(&head));
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_push_front(&head, &a.link);
    assert_int_equal(sum_in_order(&head), 123);
    list_remove(&b.link);
    list_remove(&b.link); /* harmless */
    assert_int_equal(sum_in_order(&head), 13);
    assert_ptr_equal(list_pop_front(&head), &a.link);
    assert_ptr_equal(list_pop_front(&head), &c.link);
    assert_true(list_empty(&head));
}

static void safe_walk_allows_removal(void **state)
{
    (void)state;
    struct list head = LIST_INIT(head);
    struct item items[6];
    for (int i = 0; i < 6; i++) {
        items[i].n = i + 1;
        list_push_back(&head, &items[i].link);
    }
    list_for_each_safe(it, &head)
    {
        if (list_entry(it, struct item, link)->n % 2 == 0)
            list_remove(it);
    }
    assert_int_equal(sum_in_order(&head), 135);
}

static void arithmetic_reports_overflow(void **state)
{
    (void)state;
    uint64_t v = 5;
    assert_true(checked_add(UINT64_MAX - 1, 1, &v) && v == UINT64_MAX);
    assert_false(checked_add(UINT64_MAX, 1, &v));
    assert_true(checked_sub(3, 3, &v) && v == 0);
    v = 5;
    assert_false(checked_sub(3, 4, &v));
    assert_true(v == 5);
    assert_true(checked_mul(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &v));
    assert_false(checked_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
    assert_true(v == ((UINT64_C(1) << 32) - 1) << 32);
    assert_true(align_up(0, 8) == 0 && align_up(1, 8) == 8 && align_up(8, 8) == 8 &&
                align_up(4097, 4096) == 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_pop_remove),
        cmocka_unit_test(safe_walk_allows_removal),
        cmocka_unit_test(arithmetic_reports_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
