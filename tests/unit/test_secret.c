/* Secrets from files: who may own and read them, what they may look like, and that error texts do not tell them. */
#include "common/config/secret.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH   "test_secret.file"
#define SECRET "0123456789abcdef0123456789abcdef"

static void write_file(char const *text, mode_t mode)
{
    (void)unlink(PATH);
    int fd = open(PATH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

/* Expects the secret, or, with NULL, an error with a word in its text. */
static void check(char const *path, char const *expected, char const *word)
{
    coh_buf_t out = COH_BUF_INIT;
    coh_buf_t why = COH_BUF_INIT;
    coh_err_t rc  = coh_secret_load(&out, "the-option", path, 32, &why);
    coh_buf_put_u8(&why, 0);
    if (expected != NULL) {
        assert_int_equal(rc, COH_OK);
        assert_int_equal(out.n, strlen(expected));
        assert_memory_equal(out.p, expected, out.n);
        assert_int_equal(why.n, 1);
    } else {
        assert_int_equal(rc, COH_EINVAL);
        assert_int_equal(out.n, 0);
        assert_non_null(strstr((char *)why.p, "the-option"));
        assert_non_null(strstr((char *)why.p, path));
        assert_non_null(strstr((char *)why.p, word));
        assert_null(strstr((char *)why.p, "0123456"));
    }
    coh_buf_free(&out);
    coh_buf_free(&why);
}

static void secret_is_a_word(void **state)
{
    (void)state;
    write_file(SECRET, 0600);
    check(PATH, SECRET, NULL);
    write_file(SECRET "\n", 0400);
    check(PATH, SECRET, NULL);
    write_file(SECRET " a remark\n", 0600);
    check(PATH, SECRET, NULL);
    write_file("0123456789abcdef0123456789abcde\n", 0600);
    check(PATH, NULL, "characters");
    write_file("", 0600);
    check(PATH, NULL, "characters");
    char text[COH_SECRET_MAX + 2];
    memset(text, 'x', sizeof(text));
    text[COH_SECRET_MAX] = '\0';
    write_file(text, 0600);
    check(PATH, text, NULL);
    text[COH_SECRET_MAX]     = 'x';
    text[COH_SECRET_MAX + 1] = '\0';
    write_file(text, 0600);
    check(PATH, NULL, "characters");
}

static void secret_is_closed_to_others(void **state)
{
    (void)state;
    static mode_t const modes[] = {0640, 0604, 0620, 0602, 0644, 0666, 0610};
    for (size_t i = 0; i < COH_CNT(modes); i++) {
        write_file(SECRET, modes[i]);
        check(PATH, NULL, "chmod 600");
    }
    (void)unlink(PATH);
    check(PATH, NULL, "No such file");
    check("/dev", NULL, "not a file");
    check("/dev/null", NULL, "not a file");
    assert_int_equal(mkfifo(PATH, 0600),
                     0); /* nobody writes into it: that must not be waited for */
    check(PATH, NULL, "not a file");
    (void)unlink(PATH);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(secret_is_a_word),
        cmocka_unit_test(secret_is_closed_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
