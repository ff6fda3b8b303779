/* Names and precompiled contracts of each fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/codec/fork.h"

static void fork_names_are_distinct(void **state)
{
    (void)state;
    for (int a = 0; a < COH_FORK_CNT; a++) {
        assert_true(strlen(coh_fork_name((coh_fork_t)a)) > 0);
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(coh_fork_name((coh_fork_t)a), coh_fork_name((coh_fork_t)b));
        }
    }
    assert_string_equal(coh_fork_name(COH_FORK_FRONTIER), "Frontier");
    assert_string_equal(coh_fork_name(COH_FORK_LONDON), "London");
    assert_string_equal(coh_fork_name(COH_FORK_OSAKA), "Osaka");
    assert_string_equal(coh_fork_name(COH_FORK_CNT), "unknown");
}

/* The whole of 0x0000..0xffff under each fork, against the number of the highest contract. */
static void fork_precompiles_are_those_of_the_eips(void **state)
{
    (void)state;
    static uint32_t const last[COH_FORK_CNT] = {4, 4, 4, 4, 8, 8, 8, 9, 9, 9, 9, 9, 10, 17, 17};
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        for (uint32_t number = 0; number <= 0xffff; number++) {
            coh_addr_t addr = {{0}};
            addr.b[18]      = (uint8_t)(number >> 8);
            addr.b[19]      = (uint8_t)number;
            bool want       = (number >= 1 && number <= last[fork]) ||
                        (number == 0x100 && fork == COH_FORK_OSAKA);
            assert_int_equal(coh_fork_is_precompile((coh_fork_t)fork, &addr), want);
        }
    }
    for (size_t i = 0; i < 18; i++) {
        coh_addr_t addr = {{0}};
        addr.b[19]      = 1;
        addr.b[i]       = 1;
        assert_false(coh_fork_is_precompile(COH_FORK_OSAKA, &addr));
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(fork_names_are_distinct),
        cmocka_unit_test(fork_precompiles_are_those_of_the_eips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
